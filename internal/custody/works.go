package custody

// works keeps what entries that are gone have worked with: most messages come and go
// within milliseconds.
type works struct{ spare []*work }

// maxSpare bounds what is kept for a partition: some 200 KB.
const maxSpare = 1024

// take returns one that nothing is known of.
func (s *works) take() *work {
	n := len(s.spare)
	if n == 0 {
		return &work{}
	}
	w := s.spare[n-1]
	s.spare[n-1] = nil
	s.spare = s.spare[:n-1]
	claims := w.claims[:cap(w.claims)]
	clear(claims)
	*w = work{claims: claims[:0]}
	return w
}

// give takes one back that no entry has any more. It is good until the next is taken.
func (s *works) give(w *work) {
	if w != nil && len(s.spare) < maxSpare {
		s.spare = append(s.spare, w)
	}
}
