// Package directory knows where users are connected: user → sessions → node, and
// node → address, under leases, in Redis. It is for targeted routing; it decides
// nothing about messages, calls no node, and holds no connection of a user. It is
// the only user of go-redis; the server of `pushgate dev` and of tests is in
// internal/directory/embedded.
//
// # Parts
//
// A Directory binds, unbinds and looks up sessions. Lives are the leases under which
// entries count. A Registry is who the nodes are and where. A Keeper uses the three
// to keep one node and its sessions in the directory, whatever happens to Redis. A
// Book remembers addresses for those who call nodes.
//
// # Layout
//
// With the default prefix; docs/directory.md shows how to read it with redis-cli.
//
//	pushgate:user:USER          hash    node → name of the node of the newest session;
//	                                    NODE/LIFE.EPOCH → since type client-address user-agent
//	pushgate:lives              zset    NODE/LIFE → when its lease ends, in ms; negative: over for good
//	pushgate:sessions:NODE/LIFE set     EPOCH USER, the index by which a life is swept
//	pushgate:node:NODE          hash    life, addr, capabilities, since; expires with the lease
//	pushgate:address:IP:PORT    string  name of the node; expires with the lease
//	pushgate:nodes              zset    name → when its lease ends
//	pushgate:sweeper            string  lock of who sweeps; expires after 10 s
//
// Every script and every command touches one key, so all of them run on a cluster
// whatever slots the keys are in: no hash tags are needed, and a user id may be any
// bytes. All times that are compared are Redis's own.
//
// # Fencing
//
// An entry is named by the connection it stands for: node, life of the node, epoch
// of the connection in that life. No two connections share a name. So nothing that
// is done about an old connection - a late close, a repeated one, one of a process
// that was replaced - can touch the entry of a newer one.
//
// An entry counts while its life is in pushgate:lives with a lease that has not
// ended. Beginning a life ends the older lives of the node in the same step, and
// with it all that was entered in them. Releasing one does, too.
//
// # Order of writes
//
// The index of the life is written first, then the entries; they are removed the
// other way round. A crash in between leaves an index that names nothing, never an
// entry that no index names. Every write in the name of a life carries the end of
// its lease, and Redis refuses it when that is past. A life is swept no earlier than
// directory.sweep_after (at least two leases) after its lease has ended or would
// have ended, when no such write can arrive any more; sweeping claims the life in
// the same step that finds it, so that its node cannot come back meanwhile. The
// clocks of the masters of a cluster have to agree to within a lease.
//
// One window remains. Until a node finds out that Redis was emptied (a third of the
// lease), it enters sessions under a life that Redis has forgotten. It ends that
// life in order when it begins the next one; should it crash within that window,
// what it entered in it is not swept. The same holds for an index whose last writes
// a failover has lost. Such an entry never counts, and it expires with the user's
// hash: directory.refresh × 3 after the user's last session was last entered.
//
// # Staleness
//
// Lookup reads entries and leases in one round trip, the leases last (on a cluster,
// an entry of an unknown life makes it ask for them again). A user who was bound by
// a node that lives is therefore never taken for offline: what cannot be read is an
// error, not an absence. The other way round an entry may be stale: for up to the
// lease after its node has died, and for the moment between the end of a connection
// and its Unbind. It must not swallow a message, so what is found is only whom to
// ask: the node says whether it has the user. On 404, or when it does not answer,
// the caller looks the user up again; what then names the same node, life and epoch
// is of no use, and the message waits as it does for a user who is offline.
//
// # Redis away, emptied, failed over
//
// Sessions stay open. A Keeper enters what came meanwhile and removes what went when
// Redis is back; when the lease had ended, or the life is forgotten (the marker that
// Redis was emptied), or a sample of entries, half of it of the newest, shows that
// some are missing, it enters all sessions again, directory.register_rate a second.
// Those who connect meanwhile do not queue behind them. It tells of each session when
// it can be found again, so that what was judged offline is offered again. All sessions are also written again
// every directory.refresh, and the index is compared with the open sessions as
// often: a lost entry, and one that a late write brought back, last no longer.
//
// Redis may carry out what it is told and its answer be lost. So the end of the lease
// that is known here, not the one in Redis, says whether the lease had lapsed; a
// session whose write was not answered counts as one that could not be found; and a
// life that Redis has forgotten is not held again until it has answered with a new
// one, lest that one be taken for another process's. Only a newer life is: an older
// one that is not over was in a snapshot, or on a replica that lagged.
//
// # Registries other than Redis
//
// Registry has five methods, of which each is one or two calls of the usual services;
// entries and their leases stay in Redis (Lives), so that such a registry has to be
// right about names and addresses only:
//
//   - etcd: Register = LeaseGrant, then Put of /pushgate/nodes/ID (the node as JSON)
//     with the lease, in a transaction that compares the life there; Renew =
//     LeaseKeepAliveOnce (not found: ErrLost) and a Get of the life; Deregister = a
//     transaction that deletes the key if the life is ours; Resolve by name = Get;
//     by address = a second key /pushgate/addresses/ADDR with the same lease; List =
//     Get with prefix.
//   - Consul: Register = PUT /v1/agent/service/register with the id as ID, the life
//     and the capabilities in Meta, and a TTL check with
//     DeregisterCriticalServiceAfter; Renew = /v1/agent/check/pass (404: ErrLost);
//     Deregister = /v1/agent/service/deregister; Resolve, List =
//     /v1/health/service/pushgate?passing with a filter on ServiceID, or on
//     ServiceAddress and ServicePort.
//   - Nacos: Register = registerInstance of an ephemeral instance of one service, with
//     id, life and capabilities as metadata; Renew = its heartbeat (code 20404:
//     ErrLost); Deregister = deregisterInstance; List = selectInstances(healthy);
//     Resolve = List, and look.
//
// None of the three orders lives by itself: the comparison of lives (ErrSuperseded)
// is a transaction in etcd, and a read before the write elsewhere, where Lives, which
// orders them in Redis, has the last word anyway.
//
// Where the platform names nodes by DNS, DNS resolves without a registry.
package directory
