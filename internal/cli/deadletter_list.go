package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pushgate/internal/deadletter"
)

func (p *program) deadLetterListCommand() *cobra.Command {
	var f letterFlags
	var newest int
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters: all, oldest first, or the newest",
		Long: `List dead letters, those that nobody has replayed or discarded if not told otherwise
(--state). All are streamed, oldest first; --newest N shows the last N, newest first,
and reads no further back than it must.

A user's letters are looked for in the user's home partition; --everywhere looks in
all: there are letters elsewhere where a producer partitions in another way and wrote
what is invalid, and from before partitions were added.

AT is where a letter stands, PARTITION/OFFSET, for show and replay. LIFE counts the
times it was given another life; "again" says that it died as the life before did.`,
		Example: `  pushgate deadletter list --newest 20
  pushgate deadletter list --since 2h --reason exhausted
  pushgate deadletter list --user 42 --text '"order":991' --state all --output json`,
		Args: cobra.NoArgs,
	}
	f.add(cmd)
	cmd.Flags().IntVar(&newest, "newest", 0, "only the newest so many, newest first")
	p.addOutputFlag(cmd)
	cmd.RunE = p.run(func(cmd *cobra.Command, _ []string) error {
		filter, err := f.filter(time.Now())
		if err != nil {
			return err
		}
		if newest < 0 {
			return &usageError{fmt.Sprintf("--newest %d: a number above 0", newest)}
		}
		list, err := p.newListing("DIED", "USER", "TYPE", "REASON", "ID", "ATTEMPTS", "AT", "STATE", "LIFE", "ERROR")
		if err != nil {
			return err
		}
		store, err := p.openLetters(cmd.Context())
		if err != nil {
			return err
		}
		defer store.close()
		each := p.allLetters
		if newest > 0 {
			each = p.newestLetters(newest)
		}
		const errorWidth = 60
		err = each(cmd.Context(), store, filter, func(l *deadletter.Letter) error {
			return list.row(shownLetterOf(l), l.At.UTC().Format(time.RFC3339), l.User, l.Type, l.Reason, l.ID, l.Attempt,
				placeText(l.Place), l.State, lifeOf(l), shorten(l.Error, errorWidth))
		})
		if err != nil {
			return err
		}
		if err := list.end(); err != nil {
			return err
		}
		p.homeOnly(&filter)
		return nil
	})
	return cmd
}

func lifeOf(l *deadletter.Letter) string {
	text := fmt.Sprint(1 + l.Replay.Count)
	if l.Again {
		text += " again"
	}
	return text
}

type eachLetter func(ctx context.Context, store *letters, f deadletter.Filter, do func(*deadletter.Letter) error) error

// allLetters calls do for the letters a filter takes, oldest first.
func (p *program) allLetters(ctx context.Context, store *letters, f deadletter.Filter, do func(*deadletter.Letter) error) error {
	for letter, err := range store.Letters(ctx, f) {
		if malformed, ok := errors.AsType[*deadletter.MalformedError](err); ok {
			_, _ = fmt.Fprintf(p.Err, "passed over: %s\n", malformed)
			continue
		}
		if err != nil {
			return err
		}
		if err := do(&letter); err != nil {
			return err
		}
	}
	return nil
}

// newestLetters calls do for the last letters a filter takes, newest first.
func (p *program) newestLetters(limit int) eachLetter {
	return func(ctx context.Context, store *letters, f deadletter.Filter, do func(*deadletter.Letter) error) error {
		malformed := 0
		defer func() { p.passedOver(malformed) }()
		for cursor := ""; limit > 0; {
			page, err := store.Page(ctx, deadletter.Query{Filter: f, Limit: min(limit, deadletter.MaxPage), Cursor: cursor})
			if err != nil {
				return err
			}
			for i := range page.Letters {
				if err := do(&page.Letters[i]); err != nil {
					return err
				}
			}
			malformed += page.Malformed
			limit -= len(page.Letters)
			if cursor = page.Next; cursor == "" {
				return nil
			}
		}
		return nil
	}
}

// shownLetter is a dead letter in JSON.
type shownLetter struct {
	ID        string            `json:"id"`
	User      string            `json:"user"`
	Type      string            `json:"type"`
	Reason    string            `json:"reason"`
	Error     string            `json:"error"`
	DiedAt    time.Time         `json:"died_at"`
	FirstSeen time.Time         `json:"first_seen"`
	Expires   time.Time         `json:"expires"`
	Attempt   int               `json:"attempt"`
	Failures  int               `json:"failures"`
	Node      string            `json:"node"`
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Origin    shownOrigin       `json:"origin"`
	State     string            `json:"state"`
	Replays   int               `json:"replays"`
	Again     bool              `json:"again"`
	Operation string            `json:"operation,omitempty"`
	Size      int               `json:"size"`
	Headers   map[string]string `json:"headers,omitempty"`
	Data      json.RawMessage   `json:"data,omitempty"`
	Base64    []byte            `json:"data_base64,omitempty"`
	// Preview is what a listing has of a payload that is longer.
	Preview string `json:"preview,omitempty"`
}

type shownOrigin struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

func shownLetterOf(l *deadletter.Letter) shownLetter {
	s := shownLetter{
		ID: l.ID, User: l.User, Type: l.Type, Reason: l.Reason.String(), Error: l.Error,
		DiedAt: l.At, FirstSeen: l.FirstSeen, Expires: l.Expires, Attempt: l.Attempt, Failures: l.Failures,
		Node: l.Node, Partition: l.Partition, Offset: l.Offset,
		Origin: shownOrigin{Topic: l.OriginTopic, Partition: l.OriginPartition, Offset: l.OriginOffset},
		State:  l.State.String(), Replays: l.Replay.Count, Again: l.Again, Operation: l.Operation, Size: l.Size,
	}
	if len(l.Headers) > 0 {
		s.Headers = make(map[string]string, len(l.Headers))
	}
	for _, h := range l.Headers {
		s.Headers[h.Key] = string(h.Value)
	}
	switch {
	case len(l.Data) < l.Size:
		s.Preview = string(l.Data)
	case json.Valid(l.Data):
		s.Data = l.Data
	default:
		s.Base64 = l.Data
	}
	return s
}
