package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (p *program) versionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print version, commit and Go version", Args: cobra.NoArgs}
	cmd.RunE = p.run(func(*cobra.Command, []string) error {
		_, err := fmt.Fprintf(p.Out, "pushgate %s, commit %s, %s %s/%s\n", p.version, commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return wrapWrite(err)
	})
	return cmd
}

// commit is what the Go command recorded when it built the program.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = " (modified)"
		}
	}
	return revision + dirty
}
