// Package deployments has no code: only examples, and the test that their nodes
// would start.
package deployments

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"pushgate/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNodesOfDockerComposeAreConfiguredValidly(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Build       any
			Environment map[string]string
		}
	}
	require.NoError(t, yaml.Unmarshal(read(t, "../docker-compose.yml"), &compose))
	nodes := 0
	for name, service := range compose.Services {
		if service.Build == nil {
			continue // Not our image.
		}
		nodes++
		assertValid(t, name, service.Environment)
	}
	assert.Equal(t, 3, nodes, "two gateways, and what makes the topics")
}

func TestPodsOfKubernetesAreConfiguredValidly(t *testing.T) {
	// As the Secret that pushgate.yaml tells one to create.
	secret := map[string]string{}
	for _, found := range regexp.MustCompile(`--from-literal=(\w+)=`).FindAllStringSubmatch(string(read(t, "kubernetes/pushgate.yaml")), -1) {
		secret[found[1]] = strings.Repeat("0123456789abcdef", 4)
	}
	assert.NotEmpty(t, secret)
	pods := 0
	for _, file := range []string{"kubernetes/pushgate.yaml", "kubernetes/topics.yaml"} {
		documents := yaml.NewDecoder(bytes.NewReader(read(t, file)))
		for {
			var resource struct {
				Spec struct {
					Template struct {
						Spec struct {
							EnableServiceLinks *bool `yaml:"enableServiceLinks"`
							Containers         []struct {
								Env []struct{ Name, Value string }
							}
						}
					}
				}
			}
			err := documents.Decode(&resource)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, file)
			pod := resource.Spec.Template.Spec
			for _, container := range pod.Containers {
				pods++
				environment := maps.Clone(secret)
				for _, v := range container.Env {
					if v.Value == "" {
						v.Value = "pushgate-0" // From a field of the pod.
					}
					environment[v.Name] = strings.ReplaceAll(v.Value, "$(PUSHGATE_NODE_ID)", "pushgate-0")
				}
				assertValid(t, file, environment)
				require.NotNil(t, pod.EnableServiceLinks, file)
				assert.False(t, *pod.EnableServiceLinks, "%s: PUSHGATE_PORT, of the Service, is no key", file)
			}
		}
	}
	assert.Equal(t, 2, pods)
}

// assertValid loads the configuration a container of our image would have.
func assertValid(t *testing.T, name string, environment map[string]string) {
	t.Helper()
	image := imageEnvironment(t)
	maps.Copy(image, environment)
	var list []string
	for k, v := range image {
		list = append(list, k+"="+v)
	}
	_, _, err := config.Load(config.Sources{Env: list})
	assert.NoError(t, err, name)
}

func imageEnvironment(t *testing.T) map[string]string {
	t.Helper()
	set := map[string]string{}
	for _, found := range regexp.MustCompile(`(PUSHGATE_\w+)=(\S+)`).FindAllStringSubmatch(string(read(t, "docker/Dockerfile")), -1) {
		set[found[1]] = found[2]
	}
	assert.NotEmpty(t, set)
	return set
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	return content
}
