package explain

import (
	"time"
)

// Ask is what somebody wants to know: of a user, of a message id, or of a user's
// message with that id.
type Ask struct {
	User, ID string
	// Since and Until bound when a message was first written, or something was done
	// about it. A zero Since is what the id says of its time, else DefaultSpan ago; a
	// zero Until is now.
	Since, Until time.Time
	// Limit is how many messages are told, the newest; 0 means DefaultLimit.
	Limit int
}

// Defaults and bounds of an Ask.
const (
	DefaultSpan  = 24 * time.Hour
	DefaultLimit = 50
	MaxLimit     = 1000
)

// Story is what the logs tell.
type Story struct {
	// User whose messages they are; empty where an id is several users'.
	User string `json:"user"`
	// Messages, by when they were first written.
	Messages []MessageStory `json:"messages"`
	// Gaps is what could not be known, in words.
	Gaps []string `json:"gaps"`
}

// MessageStory is the story of one message, with the lives that replays gave it.
type MessageStory struct {
	ID   string `json:"id"`
	User string `json:"user"`
	Type string `json:"type"`
	// FirstSeen is when it, or its last life, was first written; Expires when that
	// ends.
	FirstSeen time.Time `json:"first_seen"`
	Expires   time.Time `json:"expires,omitzero"`
	// Outcome is delivered, expired or dead_lettered; or waiting, under_way, or
	// unknown where the logs do not tell.
	Outcome string  `json:"outcome"`
	Events  []Event `json:"events"`
}

// What a message can come to in a story, beside the outcomes.
const (
	Waiting  = "waiting"
	UnderWay = "under_way"
	Unknown  = "unknown"
)

// Kind is what kind of event it is. It is a closed set.
type Kind string

// The kinds, in the order in which they follow each other.
const (
	Produced  Kind = "produced"
	Replayed  Kind = "replayed"
	MovedHome Kind = "moved_home"
	Offered   Kind = "offered" // again, or in its turn
	Queued    Kind = "queued"  // a gateway has it and has not written it yet
	Written   Kind = "written" // to a connection whose acknowledgement is awaited
	Delivered Kind = "delivered"
	Failed    Kind = "failed"
	// NotHeld: gateways had read past it and did not hold the user.
	NotHeld Kind = "not_held"
	// GatewayEnded: a gateway that had it left or began anew.
	GatewayEnded Kind = "gateway_ended"
	WaitBegan    Kind = "waiting"
	Connected    Kind = "connected"
	Operator     Kind = "operator"
	Died         Kind = "dead_letter"
	WaitEnded    Kind = "wait_ended"
	Outcome      Kind = "outcome"
)

// Event is one thing that happened to a message.
type Event struct {
	// Time is the broker's, of the record that tells of it.
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Where is topic/partition/offset of that record, or the node it is about.
	Where string `json:"where"`
	Text  string `json:"text"`

	// rank orders events of the same millisecond; attempt is that of the offering.
	rank, attempt int
}

// BadRequestError says that what was asked for cannot be told.
type BadRequestError struct{ Text string }

func (e *BadRequestError) Error() string { return e.Text }
