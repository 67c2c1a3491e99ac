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
	nodes, targeted := 0, 0
	for name, service := range compose.Services {
		if service.Build == nil {
			continue // Not our image.
		}
		nodes++
		const asked, unless = "${PUSHGATE_ROUTING_MODE:-broadcast}", config.RoutingBroadcast
		for _, mode := range []string{unless, config.RoutingTargeted} {
			environment := maps.Clone(service.Environment)
			for k, v := range environment {
				environment[k] = strings.ReplaceAll(v, asked, mode)
			}
			if assertValid(t, name, environment).Targeted() {
				targeted++
			}
		}
	}
	assert.Equal(t, 3, nodes, "two gateways, and what makes the topics")
	assert.Equal(t, 2, targeted, "both gateways, with one variable")
}

// container is what pods say of our image.
type container struct {
	Name string
	Env  []struct {
		Name, Value string
		ValueFrom   struct {
			FieldRef struct {
				FieldPath string `yaml:"fieldPath"`
			} `yaml:"fieldRef"`
		} `yaml:"valueFrom"`
	}
}

// environment is what the container of a pod would have, beside others of its
// environment. As Kubernetes does it, only what stands before can be named.
func (c container) environment(others map[string]string) map[string]string {
	fields := map[string]string{"metadata.name": "pushgate-0", "status.podIP": "10.0.0.7"}
	environment := maps.Clone(others)
	for _, v := range c.Env {
		if v.Value == "" {
			v.Value = fields[v.ValueFrom.FieldRef.FieldPath]
		}
		for name, value := range environment {
			v.Value = strings.ReplaceAll(v.Value, "$("+name+")", value)
		}
		environment[v.Name] = v.Value
	}
	return environment
}

// secret is as the Secret that pushgate.yaml tells one to create.
func secret(t *testing.T) map[string]string {
	t.Helper()
	secret := map[string]string{}
	for _, found := range regexp.MustCompile(`--from-literal=(\w+)=`).FindAllStringSubmatch(string(read(t, "kubernetes/pushgate.yaml")), -1) {
		secret[found[1]] = strings.Repeat("0123456789abcdef", 4)
	}
	assert.NotEmpty(t, secret)
	return secret
}

func TestPodsOfKubernetesAreConfiguredValidlyForTargetedRoutingToo(t *testing.T) {
	var base, patch struct {
		Spec struct {
			Template struct {
				Spec struct{ Containers []container }
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(read(t, "kubernetes/pushgate.yaml"), &base)) // its first document
	require.NoError(t, yaml.Unmarshal(read(t, "kubernetes/targeted.yaml"), &patch))
	node, change := base.Spec.Template.Spec.Containers[0], patch.Spec.Template.Spec.Containers[0]
	require.Equal(t, node.Name, change.Name, "a patch names the container it is for")
	c := assertValid(t, "targeted.yaml", change.environment(node.environment(secret(t))))
	assert.True(t, c.Targeted())
	assert.Equal(t, "10.0.0.7:8082", c.Node.Advertise, "where the others call it")
	assert.Equal(t, ":8082", c.PushListen())
	assert.NotEmpty(t, c.Internal.Token)
}

func TestPodsOfKubernetesAreConfiguredValidly(t *testing.T) {
	pods := 0
	for _, file := range []string{"kubernetes/pushgate.yaml", "kubernetes/topics.yaml"} {
		documents := yaml.NewDecoder(bytes.NewReader(read(t, file)))
		for {
			var resource struct {
				Spec struct {
					Template struct {
						Spec struct {
							EnableServiceLinks *bool `yaml:"enableServiceLinks"`
							Containers         []container
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
				assertValid(t, file, container.environment(secret(t)))
				require.NotNil(t, pod.EnableServiceLinks, file)
				assert.False(t, *pod.EnableServiceLinks, "%s: PUSHGATE_PORT, of the Service, is no key", file)
			}
		}
	}
	assert.Equal(t, 2, pods)
}

// assertValid loads the configuration a container of our image would have.
func assertValid(t *testing.T, name string, environment map[string]string) config.Config {
	t.Helper()
	image := imageEnvironment(t)
	maps.Copy(image, environment)
	var list []string
	for k, v := range image {
		list = append(list, k+"="+v)
	}
	c, _, err := config.Load(config.Sources{Env: list})
	assert.NoError(t, err, name)
	return c
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
