package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// Sources of a configuration.
type Sources struct {
	// Defaults are values by key that a command has instead of the common ones.
	Defaults map[string]string
	// File is a YAML file; empty: none.
	File string
	// Env is the environment, as os.Environ returns it.
	Env []string
	// Flags are values by key, and the flag each came from.
	Flags map[string]Flag
}

// Flag is a value given on the command line.
type Flag struct{ Name, Value string }

// Origins says where each key's value comes from.
type Origins map[string]string

// Load reads a configuration and validates it. The error lists every problem, a
// line each.
func Load(s Sources) (Config, Origins, error) {
	c := Default()
	l := loader{keys: keysOf(&c), origins: Origins{}}
	for _, k := range l.keys {
		l.origins[k.Name] = "default"
	}
	for name, value := range s.Defaults {
		l.apply(name, value, "default of this command")
	}
	l.file(s.File)
	l.environment(s.Env)
	for name, f := range s.Flags {
		l.apply(name, f.Value, "flag --"+f.Name)
	}
	if c.Node.Advertise == "" {
		c.Node.Advertise = c.PushListen()
	}
	if err := c.Validate(); err != nil {
		l.errs = append(l.errs, err)
	}
	return c, l.origins, errors.Join(l.errs...)
}

type loader struct {
	keys    []Key
	origins Origins
	errs    []error
}

func (l *loader) apply(name string, value any, origin string) {
	i := slices.IndexFunc(l.keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		l.unknown(name, origin, l.names(Key.name))
		return
	}
	if err := l.keys[i].set(value); err != nil {
		l.errs = append(l.errs, fmt.Errorf("%s (%s) %w", name, origin, err))
		return
	}
	l.origins[name] = origin
}

func (k Key) name() string { return k.Name }

func (l *loader) names(of func(Key) string) []string {
	names := make([]string, len(l.keys))
	for i, k := range l.keys {
		names[i] = of(k)
	}
	return names
}

func (l *loader) unknown(name, origin string, known []string) {
	hint := "`pushgate config default` lists all keys"
	if n := nearest(name, known); n != "" {
		hint = fmt.Sprintf("did you mean %s?", n)
	}
	l.errs = append(l.errs, fmt.Errorf("%s (%s) is not a key: %s", name, origin, hint))
}

func (l *loader) file(path string) {
	if path == "" {
		return
	}
	v := viper.New()
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil {
		l.errs = append(l.errs, fmt.Errorf("reading %s: %w", path, err))
		return
	}
	l.tree(v.AllSettings(), "", path)
}

// tree walks the sections of a file, down to the keys that are known; an unknown
// section is one problem, not one for each key in it.
func (l *loader) tree(section map[string]any, prefix, path string) {
	names := make([]string, 0, len(section))
	for name := range section {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		full := prefix + name
		inner, isSection := section[name].(map[string]any)
		known := slices.ContainsFunc(l.keys, func(k Key) bool { return strings.HasPrefix(k.Name, full+".") })
		if isSection && known {
			l.tree(inner, full+".", path)
			continue
		}
		if section[name] == nil && known {
			continue // a section whose keys are all commented out
		}
		if isSection {
			l.unknown(full, path, l.sections())
			continue
		}
		l.apply(full, section[name], path)
	}
}

// sections lists what keys stand in.
func (l *loader) sections() []string {
	var all []string
	for _, k := range l.keys {
		for i, r := range k.Name {
			if r == '.' && !slices.Contains(all, k.Name[:i]) {
				all = append(all, k.Name[:i])
			}
		}
	}
	return all
}

// notKeys are environment variables with our prefix that are not configuration.
const notKeys = envPrefix + "E2E_"

func (l *loader) environment(env []string) {
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || strings.HasPrefix(name, notKeys) {
			continue
		}
		i := slices.IndexFunc(l.keys, func(k Key) bool { return k.Env() == name })
		if i < 0 {
			l.unknown(name, "environment", l.names(Key.Env))
			continue
		}
		l.apply(l.keys[i].Name, value, "environment "+name)
	}
}
