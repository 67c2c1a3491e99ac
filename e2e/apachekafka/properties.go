package apachekafka

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"pushgate/internal/freeport"
)

// node is a member of a cluster, running or not.
type node struct {
	id  int
	dir string
	// Of its three listeners.
	clientPort, brokerPort, controllerPort int
	// A further listener, and the port under which it is advertised; 0: none.
	detourPort, proxyPort int
	process               *process
}

// properties of a node: small, quick, and as strict with what it was given as
// three machines would be.
func properties(n *node, nodes []*node, s Security) map[string]string {
	voters := make([]string, len(nodes))
	for i, v := range nodes {
		voters[i] = fmt.Sprintf("%d@%s", v.id, freeport.At(v.controllerPort))
	}
	copies, inSync := strconv.Itoa(len(nodes)), "1"
	if len(nodes) > 1 {
		inSync = "2"
	}
	listeners := "CLIENT://" + freeport.At(n.clientPort) + ",BROKER://" + freeport.At(n.brokerPort)
	advertised, protocols := listeners, "CLIENT:"+s.protocol()+",BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"
	if n.detourPort != 0 {
		listeners += ",DETOUR://" + freeport.At(n.detourPort)
		advertised += ",DETOUR://" + freeport.At(n.proxyPort)
		protocols += ",DETOUR:PLAINTEXT"
	}
	return map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        strconv.Itoa(n.id),
		"controller.quorum.voters":       strings.Join(voters, ","),
		"controller.listener.names":      "CONTROLLER",
		"inter.broker.listener.name":     "BROKER",
		"listener.security.protocol.map": protocols,
		"listeners":                      listeners + ",CONTROLLER://" + freeport.At(n.controllerPort),
		"advertised.listeners":           advertised,
		"log.dirs":                       n.dataDir(),

		"default.replication.factor":     copies,
		"min.insync.replicas":            inSync,
		"unclean.leader.election.enable": "false",
		"auto.create.topics.enable":      "false",

		"offsets.topic.replication.factor":                 copies,
		"offsets.topic.num.partitions":                     "1",
		"transaction.state.log.replication.factor":         copies,
		"transaction.state.log.min.isr":                    inSync,
		"transaction.state.log.num.partitions":             "1",
		"share.coordinator.state.topic.replication.factor": copies,
		"share.coordinator.state.topic.min.isr":            inSync,
		"share.coordinator.state.topic.num.partitions":     "1",

		// A killed node is noticed within seconds, and tests may ask for group
		// members to be given up sooner than a machine room would.
		"broker.heartbeat.interval.ms":     "500",
		"broker.session.timeout.ms":        "2500",
		"group.min.session.timeout.ms":     "500",
		"group.initial.rebalance.delay.ms": "0",

		"log.cleaner.dedupe.buffer.size": "2097152",
		"log.initial.task.delay.ms":      "1000",
		"num.network.threads":            "2",
		"num.io.threads":                 "4",
		"background.threads":             "2",
	}
}

// encodeProperties writes a Java properties file.
func encodeProperties(p map[string]string) string {
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		b.WriteString(k + "=" + escape.Replace(p[k]) + "\n")
	}
	return b.String()
}
