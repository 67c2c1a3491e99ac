//go:build !linux

package ws

import (
	"net"
	"time"
)

// setUserTimeout does nothing where the kernel has no such option: pings and
// keepalive find dead peers there.
func setUserTimeout(*net.TCPConn, time.Duration) {}
