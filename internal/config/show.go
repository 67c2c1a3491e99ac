package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// mask stands for a secret.
const mask = "********"

// Keys returns every key with its default, in the order they are written in.
func Keys() []Key {
	c := portable()
	return keysOf(&c)
}

// portable is the default configuration without what differs from machine to
// machine.
func portable() Config {
	c := Default()
	c.Node.ID = ""
	return c
}

// WriteDefault writes every key with its default and what it means, as a file
// that can be edited.
func WriteDefault(w io.Writer) error {
	out := bufio.NewWriter(w)
	_, _ = fmt.Fprint(out, "# Configuration of a node: every key with its default.\n"+
		"# An environment variable wins over this file (PUSHGATE_ and the key, dots as\n"+
		"# underscores: PUSHGATE_KAFKA_BROKERS=a:9092,b:9092), a flag over both.\n")
	var open []string
	for _, k := range Keys() {
		parts := strings.Split(k.Name, ".")
		sections, leaf := parts[:len(parts)-1], parts[len(parts)-1]
		for i, section := range sections {
			if i < len(open) && open[i] == section {
				continue
			}
			open = open[:min(i, len(open))]
			if i == 0 {
				_, _ = fmt.Fprintln(out)
			}
			_, _ = fmt.Fprintf(out, "%s%s:\n", indent(i), section)
			open = append(open, section)
		}
		open = open[:len(sections)]
		_, _ = fmt.Fprintf(out, "%s# %s\n", indent(len(sections)), k.Doc)
		if k.Name == "node.id" {
			_, _ = fmt.Fprintf(out, "%s# %s: gateway-1\n", indent(len(sections)), leaf)
			continue
		}
		_, _ = fmt.Fprintf(out, "%s%s: %s\n", indent(len(sections)), leaf, k.yaml())
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return nil
}

func indent(depth int) string { return strings.Repeat("  ", depth) }

// Shown is one key as it is in force.
type Shown struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

// Show lists what is in force and where each value came from. Secrets are
// masked.
func Show(c Config, o Origins) []Shown {
	var list []Shown
	for _, k := range keysOf(&c) {
		value := k.yaml()
		if k.Secret && k.field.String() != "" {
			value = mask
		}
		list = append(list, Shown{Key: k.Name, Value: value, Origin: o[k.Name]})
	}
	return list
}
