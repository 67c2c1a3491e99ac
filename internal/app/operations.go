package app

import (
	"net/http"

	"pushgate/internal/admin/api"
	"pushgate/internal/admin/jobs"
	"pushgate/internal/deadletter"
	"pushgate/internal/gateway"
	"pushgate/internal/kafka"
	"pushgate/internal/operations"
)

// The Kafka side in the words of those who look at topics and mend what is in them.

type operationsRecords struct{ *kafka.Cluster }

func (l operationsRecords) NewReader(topic string, partition int32, offset int64) operations.Reader {
	return l.Cluster.NewReader(topic, partition, offset)
}

// maxJobs bounds the operations of operators that run on a node at once.
const maxJobs = 4

// newAPI is what the admin listener offers operators, and the jobs it runs for them.
func (n *Node) newAPI(version string) api.Params {
	n.jobs = jobs.New(jobs.Params{Most: maxJobs, Logger: n.log})
	topics := n.cluster.Topics()
	records := operationsRecords{n.cluster}
	journal := Journal(n.cluster) // one of each: they keep what they have read
	letters := deadletter.New(deadletter.Params{
		Log: records, Topics: deadletter.Topics{DeadLetter: topics.DeadLetter, Requests: topics.Requests},
		Operations: journal, Limits: n.config.Limits(),
	})
	waits := WaitingStore(n.cluster, n.config, journal)
	p := api.Params{
		Self: api.Self{
			Node: n.config.Node.ID, Version: version, Gateway: n.gateway != nil,
			Routing: n.config.Routing.Mode, Order: n.config.Delivery.Order,
		},
		Users: n.findUser, Fleet: n.fleet, Groups: Groups(n.cluster, n.config, journal),
		Letters: letters, Replayer: letters, Discarder: letters,
		Waiting: waits, WaitOperator: waits, Stories: Explainer(n.cluster, n.config, journal), Operations: journal,
		Messages: gateway.NewProducer(gateway.ProducerParams{
			Config: n.config.Gateway, Limits: n.config.Limits(), Publisher: requestPublisher{n.publisher}, Logger: n.log,
		}),
		Jobs: n.jobs,
	}
	if n.gateway != nil {
		p.Sockets = http.HandlerFunc(n.gateway.ConnectOperator)
	}
	return p
}
