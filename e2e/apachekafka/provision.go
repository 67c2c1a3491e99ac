package apachekafka

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Version is Apache Kafka's; pom.xml says the same.
const Version = "4.3.1"

// The oldest Java that Kafka's brokers run on.
const oldestJava = 17

// The plugin of Maven's that copies a project's dependencies into a directory.
const copyDependencies = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies"

//go:embed pom.xml
var pom []byte

// ErrUnavailable is returned where Apache Kafka cannot be run; what wraps it
// says what is missing.
var ErrUnavailable = errors.New("Apache Kafka is not available here") //nolint:staticcheck // Apache is a name.

// Distribution is what it takes to start Kafka.
type Distribution struct {
	// Java is the path of the java binary.
	Java string
	// Libs is the directory of Kafka's jars.
	Libs string
}

// Provision finds Java, and fetches Kafka by Maven if that was not done before.
// It may take as long as a download of 45 MB does; processes that provision at
// the same time wait for one another. Errors wrap ErrUnavailable, except that of
// a context that ended.
func Provision(ctx context.Context, log *zap.Logger) (Distribution, error) {
	java, err := findJava(ctx)
	if err != nil {
		return Distribution{}, unavailable(ctx, err)
	}
	cache, err := cacheDirectory()
	if err != nil {
		return Distribution{}, unavailable(ctx, err)
	}
	home := filepath.Join(cache, "kafka-"+Version)
	if !provisioned(home) {
		if err := fetch(ctx, home, log); err != nil {
			return Distribution{}, unavailable(ctx, err)
		}
	}
	return Distribution{Java: java, Libs: filepath.Join(home, "libs")}, nil
}

func unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("provisioning Apache Kafka: %w", context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// cacheDirectory is outside of the tree: what is fetched belongs to the user,
// not to a clone.
func cacheDirectory() (string, error) {
	if xdg := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "pushgate"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's cache: %w", err)
	}
	return filepath.Join(home, ".cache", "pushgate"), nil
}

// provisioned tells whether the jars of just this pom are there. The directory
// appears at once and whole, so that its pom vouches for its jars.
func provisioned(home string) bool {
	there, err := os.ReadFile(filepath.Join(home, "pom.xml")) //nolint:gosec // G304: the path is this package's own.
	return err == nil && bytes.Equal(there, pom)
}

func fetch(ctx context.Context, home string, log *zap.Logger) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("mvn (Maven), which fetches Kafka, is not on the PATH")
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o750); err != nil {
		return fmt.Errorf("making the cache: %w", err)
	}
	unlock, err := lock(ctx, home+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if provisioned(home) {
		return nil // Somebody else has fetched it meanwhile.
	}

	temporary, err := os.MkdirTemp(filepath.Dir(home), filepath.Base(home)+"-*")
	if err != nil {
		return fmt.Errorf("making a directory to fetch into: %w", err)
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	log.Info("fetching Apache Kafka, once", zap.String("version", Version), zap.String("into", home))
	project := filepath.Join(temporary, "pom.xml")
	if err := os.WriteFile(project, pom, 0o600); err != nil {
		return fmt.Errorf("writing Maven's project: %w", err)
	}
	cmd := exec.CommandContext(ctx, mvn, "--quiet", "--batch-mode", "--file", project, //nolint:gosec // G204: mvn is the user's own.
		copyDependencies, "-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(temporary, "libs"))
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn could not fetch Kafka: %w: %s", err, firstLine(string(out)))
	}
	// What is there, if anything, is of another pom.
	if err := os.RemoveAll(home); err != nil {
		return fmt.Errorf("removing an older Kafka: %w", err)
	}
	if err := os.Rename(temporary, home); err != nil {
		return fmt.Errorf("putting Kafka into its place: %w", err)
	}
	return nil
}

// lock waits for the file's lock, which the system gives back when a process
// dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: the path is this package's own.
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the cache: %w", err)
	}
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		locked, err := tryLock(f)
		if locked {
			return func() { _ = f.Close() }, nil
		}
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("locking the cache: %w", err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("waiting for the lock of the cache: %w", context.Cause(ctx))
		case <-again.C:
		}
	}
}

func findJava(ctx context.Context) (string, error) {
	java := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java = filepath.Join(home, "bin", "java")
	}
	path, err := exec.LookPath(java)
	if err != nil {
		return "", fmt.Errorf("java is neither in JAVA_HOME nor on the PATH; Kafka needs Java %d or newer", oldestJava)
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput() //nolint:gosec // G204: java is the user's own.
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", path, err)
	}
	switch major, err := javaMajor(string(out)); {
	case err != nil:
		return "", err
	case major < oldestJava:
		return "", fmt.Errorf("%s is Java %d; Kafka needs Java %d or newer", path, major, oldestJava)
	}
	return path, nil
}

// javaMajor reads the 17 in `openjdk version "17.0.15" 2025-04-15`. Java 8 and
// older call themselves 1.8.
func javaMajor(out string) (int, error) {
	found := regexp.MustCompile(`version "(?:1\.)?(\d+)`).FindStringSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("java says no version: %q", firstLine(out))
	}
	major, err := strconv.Atoi(found[1])
	if err != nil {
		return 0, fmt.Errorf("reading Java's version: %w", err)
	}
	return major, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
