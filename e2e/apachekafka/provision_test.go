package apachekafka

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

func TestPomNamesTheVersionThatTheCacheIsNamedAfter(t *testing.T) {
	assert.Contains(t, string(pom), "<version>"+Version+"</version>")
}

func TestMissingJavaIsNamed(t *testing.T) {
	t.Setenv("JAVA_HOME", "")
	t.Setenv("PATH", t.TempDir())
	_, err := Provision(t.Context(), zap.NewNop())
	require.ErrorIs(t, err, ErrUnavailable)
	assert.ErrorContains(t, err, "java is neither in JAVA_HOME nor on the PATH")
}

func TestOldJavaIsRefused(t *testing.T) {
	t.Setenv("JAVA_HOME", fakeJava(t, `openjdk version "11.0.2" 2019-01-15`))
	_, err := Provision(t.Context(), zap.NewNop())
	require.ErrorIs(t, err, ErrUnavailable)
	assert.ErrorContains(t, err, "is Java 11")
}

func TestMissingMavenIsNamed(t *testing.T) {
	t.Setenv("JAVA_HOME", fakeJava(t, `openjdk version "21" 2023-09-19`))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("PATH", "/usr/bin/nowhere")
	_, err := Provision(t.Context(), zap.NewNop())
	require.ErrorIs(t, err, ErrUnavailable)
	assert.ErrorContains(t, err, "mvn (Maven)")
}

func TestWhatMavenSaysIsPassedOnAndNothingIsLeftBehind(t *testing.T) {
	t.Setenv("JAVA_HOME", fakeJava(t, `openjdk version "21" 2023-09-19`))
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	fakeTool(t, "mvn", `echo "[ERROR] nobody answers" >&2; exit 1`)
	_, err := Provision(t.Context(), zap.NewNop())
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "[ERROR] nobody answers")
	left, err := filepath.Glob(filepath.Join(cache, "pushgate", "kafka-*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(cache, "pushgate", "kafka-"+Version+".lock")}, left)
}

func TestManyProvisionersFetchOnce(t *testing.T) {
	t.Setenv("JAVA_HOME", fakeJava(t, `openjdk version "21" 2023-09-19`))
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	runs := filepath.Join(t.TempDir(), "runs")
	// The last argument is -DoutputDirectory=….
	fakeTool(t, "mvn", `echo run >>`+runs+`; for a; do :; done; mkdir -p "${a#-DoutputDirectory=}"`)
	// Kafka of another pom is replaced.
	old := filepath.Join(cache, "pushgate", "kafka-"+Version)
	require.NoError(t, os.MkdirAll(filepath.Join(old, "libs", "old.jar"), 0o700))

	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			d, err := Provision(t.Context(), zap.NewNop())
			assert.NoError(t, err)
			assert.DirExists(t, d.Libs)
		})
	}
	wait.Wait()
	content, err := os.ReadFile(runs)
	require.NoError(t, err)
	assert.Equal(t, "run\n", string(content))
	assert.NoDirExists(t, filepath.Join(old, "libs", "old.jar"))
}

func TestWaitingForTheLockEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path)
	require.NoError(t, err)
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	_, err = lock(ctx, path)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestJavaMajor(t *testing.T) {
	for out, major := range map[string]int{
		`openjdk version "17.0.15" 2025-04-15`:                        17,
		`openjdk version "25" 2025-09-16`:                             25,
		`java version "1.8.0_402"`:                                    8,
		"Picked up JAVA_TOOL_OPTIONS: -x\nopenjdk version \"21.0.1\"": 21,
		`openjdk version "22-ea" 2024-03-19`:                          22,
	} {
		got, err := javaMajor(out)
		require.NoError(t, err, out)
		assert.Equal(t, major, got, out)
	}
	_, err := javaMajor("bash: command not found")
	assert.ErrorContains(t, err, "java says no version")
}

// fakeJava makes a JAVA_HOME whose java says this version.
func fakeJava(t *testing.T, version string) string {
	t.Helper()
	home := t.TempDir()
	script(t, filepath.Join(home, "bin", "java"), "echo '"+version+"' >&2")
	return home
}

// fakeTool puts a program before all others on the PATH.
func fakeTool(t *testing.T, name, body string) {
	t.Helper()
	dir := t.TempDir()
	script(t, filepath.Join(dir, name), body)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func script(t *testing.T, path, body string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700))
}
