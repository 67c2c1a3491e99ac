package listen

import "net"

// Loopback says whether only this machine reaches an address (host:port). What is no
// address is not said to be.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
