package cache

import (
	"fmt"
	"path/filepath"
)

// Whole reports whether the chunk that begins with picture first is done and has every picture that it covers. One that
// leaves pictures out is not used from now on, as after [Store.RejectLeftOut]: they may be readable again.
func (s *Store) Whole(first int) bool {
	for s.Done(first) {
		s.mu.Lock()
		name, lacks := s.found[first][0], s.lacks(first)
		s.mu.Unlock()
		if lacks == 0 {
			return true
		}
		s.reject(first, name, fmt.Errorf("%s: it leaves out %d pictures that could not be read", filepath.Join(s.dir, name), lacks))
	}
	return false
}
