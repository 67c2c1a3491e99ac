package session

import (
	"errors"
	"fmt"
	"time"

	"pushgate/internal/ws"
)

// Config bounds what one session may cost and how long it may take.
type Config struct {
	MaxBufferedBytes int           `mapstructure:"max_buffered_bytes" doc:"Bytes accepted for a connection and not yet written; past it a message fails as slow_consumer, and is offered again later."`
	WriteTimeout     time.Duration `mapstructure:"write_timeout" doc:"How long a client may take to receive the next 16 KiB; then it is too slow and its connection is ended."`
	AckTimeout       time.Duration `mapstructure:"ack_timeout" doc:"How long a client that acknowledges may take to do so before the message is offered again."`
	PingInterval     time.Duration `mapstructure:"ping_interval" doc:"A client silent for so long is pinged, and closed if it stays silent until twice as long."`
	CloseTimeout     time.Duration `mapstructure:"close_timeout" doc:"How long a client may take to answer a close frame."`
	MaxFrameBytes    int           `mapstructure:"max_frame_bytes" doc:"The largest frame and message a client may send."`
	CompressFrom     int           `mapstructure:"compress_from_bytes" doc:"Frames of at least so many bytes are compressed for clients that offer permessage-deflate; from about 1024 on it is worth it. 0: compression is never agreed on."`
	MaxUnacked       int           `mapstructure:"max_unacked" doc:"Messages of a connection that may be unwritten or unacknowledged at a time; past it a message fails as slow_consumer."`
	MaxPerUser       int           `mapstructure:"max_per_user" doc:"Connections a user may have on one node; a further one closes the oldest with 4409. 0 means no limit."`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	l := ws.DefaultLimits()
	return Config{
		MaxBufferedBytes: l.MaxBufferedBytes,
		WriteTimeout:     l.WriteTimeout,
		AckTimeout:       10 * time.Second,
		PingInterval:     l.PingInterval,
		CloseTimeout:     l.CloseTimeout,
		MaxFrameBytes:    l.MaxFrameBytes,
		MaxUnacked:       1024,
	}
}

const (
	minBufferedBytes = 4 << 10
	minFrameBytes    = 512 // an acknowledgement of the longest id fits
)

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	positive := func(key string, d time.Duration) {
		check(d > 0, "session.%s is %v, which no client could meet: write a duration above zero, such as 10s", key, d)
	}
	check(c.MaxBufferedBytes >= minBufferedBytes,
		"session.max_buffered_bytes is %d, less than a few messages need: write at least %d", c.MaxBufferedBytes, minBufferedBytes)
	check(c.MaxFrameBytes >= minFrameBytes,
		"session.max_frame_bytes is %d, too little for an acknowledgement: write at least %d", c.MaxFrameBytes, minFrameBytes)
	check(c.MaxUnacked >= 1, "session.max_unacked is %d, so nothing could be sent: write at least 1", c.MaxUnacked)
	check(c.MaxPerUser >= 0, "session.max_per_user is %d: write 0 for no limit, or a limit", c.MaxPerUser)
	check(c.CompressFrom >= 0, "session.compress_from_bytes is %d: write 0 for no compression, or a size such as 1024", c.CompressFrom)
	positive("write_timeout", c.WriteTimeout)
	positive("ack_timeout", c.AckTimeout)
	positive("ping_interval", c.PingInterval)
	positive("close_timeout", c.CloseTimeout)
	return errors.Join(problems...)
}

// Limits are the part of the configuration that is the transport's.
func (c Config) Limits() ws.Limits {
	l := ws.DefaultLimits()
	l.MaxBufferedBytes = c.MaxBufferedBytes
	l.MaxFrameBytes, l.MaxMessageBytes = c.MaxFrameBytes, c.MaxFrameBytes
	l.WriteTimeout = c.WriteTimeout
	l.PingInterval = c.PingInterval
	l.CloseTimeout = c.CloseTimeout
	l.Deflate = c.CompressFrom > 0
	return l
}
