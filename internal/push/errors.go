package push

import "fmt"

// InvalidError says why a record is not a valid request. Such a record is
// dead-lettered for Reason, with Text as its error.
type InvalidError struct {
	Reason Reason // Invalid or TooLarge
	Text   string
}

func (e *InvalidError) Error() string { return e.Text }

// OffsetLostError says that a read asked for an offset the partition does not
// hold: the log was trimmed past it, or the topic was created anew and is shorter.
type OffsetLostError struct {
	Topic     string
	Partition int32
	// Offset was asked for; the partition holds LogStart up to HighWatermark.
	Offset, LogStart, HighWatermark int64
}

func (e *OffsetLostError) Error() string {
	return fmt.Sprintf("offset %d of %s/%d is not in the log, which holds %d to %d",
		e.Offset, e.Topic, e.Partition, e.LogStart, e.HighWatermark)
}

// RejectedError says that the broker refused records for good: trying again
// cannot help (too large, invalid).
type RejectedError struct {
	Topic     string
	Partition int32
	Err       error
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("%s/%d refused the record: %v", e.Topic, e.Partition, e.Err)
}

func (e *RejectedError) Unwrap() error { return e.Err }
