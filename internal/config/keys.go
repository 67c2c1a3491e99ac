package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Key is one key of the configuration.
type Key struct {
	Name   string `json:"name"`
	Doc    string `json:"doc"`
	Secret bool   `json:"secret"`

	field reflect.Value
}

// Env returns the environment variable that sets the key.
func (k Key) Env() string { return envPrefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_")) }

const envPrefix = "PUSHGATE_"

// keysOf lists the keys of a configuration, in the order they are written in,
// bound to its fields.
func keysOf(c *Config) []Key {
	return collect(nil, reflect.ValueOf(c).Elem(), "")
}

func collect(keys []Key, v reflect.Value, prefix string) []Key {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := prefix + f.Tag.Get("mapstructure")
		if f.Type.Kind() == reflect.Struct {
			keys = collect(keys, v.Field(i), name+".")
			continue
		}
		keys = append(keys, Key{Name: name, Doc: f.Tag.Get("doc"), Secret: f.Tag.Get("secret") == "true", field: v.Field(i)})
	}
	return keys
}

// set gives the key a value as it stands in a file (already typed), in the
// environment or in a flag (text).
func (k Key) set(raw any) error {
	if text, ok := raw.(string); ok {
		return k.setText(text)
	}
	switch list := raw.(type) {
	case []any:
		if k.field.Kind() != reflect.Slice {
			return fmt.Errorf("is a list, %s is expected", k.kind())
		}
		texts := make([]string, len(list))
		for i, e := range list {
			texts[i] = fmt.Sprint(e)
		}
		k.field.Set(reflect.ValueOf(texts))
		return nil
	case map[string]any, nil:
		return fmt.Errorf("has no value, %s is expected", k.kind())
	}
	if k.field.Kind() == reflect.String || k.field.Kind() == reflect.Slice {
		return fmt.Errorf("is %v, %s is expected: put quotes around it", raw, k.kind())
	}
	return k.setText(fmt.Sprint(raw))
}

func (k Key) setText(text string) error {
	wrong := func() error {
		if k.Secret {
			text = mask
		}
		return fmt.Errorf("is %q, %s is expected", text, k.kind())
	}
	switch k.field.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return wrong()
		}
		k.field.SetInt(int64(d))
	case []string:
		k.field.Set(reflect.ValueOf(splitList(text)))
	case string:
		k.field.SetString(text)
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return wrong()
		}
		k.field.SetBool(b)
	case int, int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return wrong()
		}
		k.field.SetInt(n)
	case float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return wrong()
		}
		k.field.SetFloat(f)
	default:
		return fmt.Errorf("is of a kind (%s) that cannot be set", k.field.Type())
	}
	return nil
}

func (k Key) kind() string {
	switch k.field.Interface().(type) {
	case time.Duration:
		return "a duration such as 250ms, 10s or 24h"
	case []string:
		return "a list"
	case bool:
		return "true or false"
	case int, int64:
		return "a whole number"
	case float64:
		return "a number"
	default:
		return "a text"
	}
}

// splitList takes a list apart that stands in one text.
func splitList(text string) []string {
	list := []string{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// yaml writes the key's value as it is written in a file.
func (k Key) yaml() string {
	switch v := k.field.Interface().(type) {
	case time.Duration:
		return Duration(v)
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	case string:
		if v == "" || strings.ContainsAny(v, ":#{}[],&*?|<>=!%@\\\"' ") {
			return strconv.Quote(v)
		}
		return v
	default:
		return fmt.Sprint(v)
	}
}

// Duration writes a duration without the zeros of time.Duration.String.
func Duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// nearest returns the name that is most like the given one, empty if none is.
func nearest(name string, names []string) string {
	best, distance := "", len(name)/2+1
	for _, candidate := range names {
		if d := editDistance(name, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	if best != "" {
		return best
	}
	// A key that was put under another section, or under none.
	last := name[strings.LastIndex(name, ".")+1:]
	i := slices.IndexFunc(names, func(n string) bool { return n[strings.LastIndex(n, ".")+1:] == last })
	if i >= 0 {
		return names[i]
	}
	return ""
}

// editDistance is that of Levenshtein: insertions, deletions, substitutions.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
