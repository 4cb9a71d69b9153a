package picture

import (
	"runtime/debug"
	"sync"
)

const (
	// maxMemory is what one picture may take while it is decoded and converted to RGB: a program that decodes one at a time
	// stays below a gigabyte.
	maxMemory = 900 << 20
	// sharedMemory is what all pictures may take that are decoded at the same time. A picture that needs more is decoded
	// alone.
	sharedMemory = 512 << 20
	// largeMemory is from where on it pays to free the pictures before this one first, which Go does only when as much again
	// has been allocated.
	largeMemory = 128 << 20
)

// budget bounds a sum of memory.
type budget struct {
	limit int64

	mu    sync.Mutex
	freed sync.Cond // with mu
	used  int64
}

var decoding = newBudget(sharedMemory)

func newBudget(limit int64) *budget {
	b := &budget{limit: limit}
	b.freed.L = &b.mu
	return b
}

// enter waits until n bytes are free, or nothing is used; what it returns gives them back.
func (b *budget) enter(n int64) (leave func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.used > 0 && b.used+n > b.limit {
		b.freed.Wait()
	}
	return b.add(n)
}

// add counts n bytes that exist already. b.mu is locked.
func (b *budget) add(n int64) (remove func()) {
	b.used += n
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.used -= n
		b.freed.Broadcast()
	})
}

// Hold counts a decoded picture's memory until release is called, so that [Decode] waits with large pictures while the caller
// still works on this one. It does not wait itself. Call it when decoding on several goroutines; otherwise there is no need
// to.
func Hold(p *Picture) (release func()) {
	if p == nil {
		return func() {}
	}
	decoding.mu.Lock()
	defer decoding.mu.Unlock()
	return decoding.add(int64(cap(p.Pix)))
}

// admit refuses a picture of a size that is empty or beyond the limits, and waits until there is room for the bytes that
// decoding it takes beside the file. It comes before anything of that size is allocated. mode is the one that the picture will
// have.
func (l Limits) admit(format string, file []byte, width, height int, mode Mode, bytes int64) (leave func(), err error) {
	if err := l.check(format, width, height); err != nil {
		return nil, err
	}
	pixels := int64(width) * int64(height)
	if mode != RGB { // for the picture and its conversion
		bytes = max(bytes, pixels*int64(mode.Bytes()+RGB.Bytes()))
	}
	if bytes += int64(len(file)); bytes > maxMemory {
		return nil, &LimitError{Width: width, Height: height, MaxPixels: maxMemory * pixels / bytes, Format: format}
	}
	leave = decoding.enter(bytes)
	if bytes >= largeMemory {
		debug.FreeOSMemory()
	}
	return leave, nil
}
