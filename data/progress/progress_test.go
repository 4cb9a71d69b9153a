package progress

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a time that moves only when told to.
type clock struct{ t time.Time }

func newClock() *clock                   { return &clock{time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)} }
func (c *clock) now() time.Time          { return c.t }
func (c *clock) forward(d time.Duration) { c.t = c.t.Add(d) }

func newTestLines(interval time.Duration) (*lines, *clock, *bytes.Buffer) {
	c, out := newClock(), new(bytes.Buffer)
	return &lines{w: out, interval: interval, now: c.now}, c, out
}

func TestLines(t *testing.T) {
	tests := []struct {
		name  string
		work  func(Reporter, *clock)
		lines []string
	}{
		{"first and last only when quick", func(r Reporter, c *clock) {
			r.Start("decode", 3)
			for range 3 {
				c.forward(100 * time.Millisecond)
				r.Add(1)
			}
			r.Done()
		}, []string{"decode: 0 of 3", "decode: 3 of 3, 10/s, 300ms"}},
		{"a line every interval with rate and time left", func(r Reporter, c *clock) {
			r.Start("decompose", 100)
			for range 5 {
				c.forward(2 * time.Second)
				r.Add(10)
			}
			c.forward(2 * time.Second)
			r.Add(50)
			r.Done()
		}, []string{
			"decompose: 0 of 100",
			"decompose: 30 of 100 (30%), 5/s, 14s left", // 6 s, the first Add after 5 s
			"decompose: 100 of 100 (100%), 9/s",         // 12 s
			"decompose: 100 of 100, 9/s, 12s, 2s of it before the first",
		}},
		{"what was compiled first is not in the estimate", func(r Reporter, c *clock) {
			r.Start("decompose", 1000)
			c.forward(9 * time.Second) // compiles
			r.Add(8)                   // nothing can be said yet
			for range 6 {
				c.forward(900 * time.Millisecond)
				r.Add(90)
			}
			r.Done()
		}, []string{
			"decompose: 0 of 1000",
			"decompose: 8 of 1000 (0%)",
			"decompose: 548 of 1000 (54%), 100/s, 4.5s left",
			"decompose: 548 of 1000, 100/s, 14s, 9s of it before the first",
		}},
		{"unknown total", func(r Reporter, c *clock) {
			r.Start("download", 0)
			c.forward(6 * time.Second)
			r.Add(1200)
			r.Done()
		}, []string{"download: 0", "download: 1200", "download: 1200, 200/s, 6s"}},
		{"negative total is unknown", func(r Reporter, c *clock) {
			r.Start("read", -1)
			r.Done()
		}, []string{"read: 0", "read: 0, 0s"}},
		{"cut short", func(r Reporter, c *clock) {
			r.Start("train", 10)
			c.forward(90 * time.Second)
			r.Done()
		}, []string{"train: 0 of 10", "train: 0 of 10, 1m30s"}},
		{"a new stage ends the open one", func(r Reporter, c *clock) {
			r.Start("one", 1)
			c.forward(time.Second)
			r.Add(1)
			r.Start("two", 2)
			r.Done()
		}, []string{"one: 0 of 1", "one: 1 of 1, 1/s, 1s", "two: 0 of 2", "two: 0 of 2, 0s"}},
		{"nothing without a stage", func(r Reporter, c *clock) {
			r.Add(1)
			r.Done()
			r.Start("x", 1)
			r.Done()
			r.Done()
			r.Add(1)
		}, []string{"x: 0 of 1", "x: 0 of 1, 0s"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, c, out := newTestLines(5 * time.Second)
			test.work(r, c)
			if got, want := out.String(), strings.Join(test.lines, "\n")+"\n"; got != want {
				t.Errorf("wrote\n%swant\n%s", got, want)
			}
		})
	}
}

func TestBar(t *testing.T) {
	c, out := newClock(), new(bytes.Buffer)
	r := newBar(out, c.now)
	r.Add(1) // before any stage: nothing
	if out.Len() != 0 {
		t.Fatalf("wrote %q before a stage began", out)
	}
	r.Start("decompose", 4)
	for range 4 {
		c.forward(time.Second)
		r.Add(1)
	}
	if got, want := r.bar.State().Description, "decompose, 1/s"; strings.TrimSpace(got) != want {
		t.Errorf("the bar says %q in the end, want %q", got, want)
	}
	drawn := out.String()
	for _, want := range []string{"decompose", "0/4", "["} {
		if !strings.Contains(drawn, want) {
			t.Errorf("the bar %q does not show %q", drawn, want)
		}
	}
	if strings.Contains(drawn, "\n") {
		t.Errorf("the bar %q takes more than one line", drawn)
	}
	r.Add(3) // more than was promised: still no failure, and the true number in the end
	r.Done()
	r.Done()
	if got, want := out.String(), "\rdecompose: 7 of 4, 2/s, 4s, 1s of it before the first\n"; !strings.HasSuffix(got, want) {
		t.Errorf("the bar ended with %q, want %q", got[len(drawn):], want)
	}
}

func TestBarUnknownTotal(t *testing.T) {
	c, out := newClock(), new(bytes.Buffer)
	r := newBar(out, c.now)
	r.Start("read", 0)
	for range 1000 {
		r.Add(1)
	}
	c.forward(10 * time.Second)
	r.Start("write", 1) // ends the open stage
	r.Done()
	for _, want := range []string{"read: 1000, 99.9/s, 10s\n", "write: 0 of 1, 0s\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("wrote %q, want %q in it", out, want)
		}
	}
}

func TestConcurrent(t *testing.T) {
	c := newClock()
	for name, reporter := range map[string]func(*bytes.Buffer) Reporter{
		"lines":  func(out *bytes.Buffer) Reporter { return &lines{w: out, interval: time.Second, now: c.now} },
		"bar":    func(out *bytes.Buffer) Reporter { return newBar(out, c.now) },
		"silent": func(out *bytes.Buffer) Reporter { out.WriteString("x: 800 of 800"); return Silent },
	} {
		t.Run(name, func(t *testing.T) {
			out := new(bytes.Buffer)
			r := reporter(out)
			r.Start("x", 800)
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					for range 100 {
						r.Add(1)
					}
				})
			}
			group.Wait()
			r.Done()
			if !strings.Contains(out.String(), "x: 800 of 800") {
				t.Errorf("wrote %q: not all 800 steps counted", out)
			}
		})
	}
}

type broken struct{ writes int }

func (b *broken) Write([]byte) (int, error) { b.writes++; return 0, errors.New("gone") }

// Work goes on when standard error is closed.
func TestWriterFails(t *testing.T) {
	c := newClock()
	w := new(broken)
	for _, r := range []Reporter{&lines{w: w, now: c.now}, newBar(w, c.now)} {
		before := w.writes
		r.Start("x", 2)
		r.Add(1)
		r.Done()
		if w.writes == before {
			t.Errorf("%T did not try to write", r)
		}
	}
}

func TestNew(t *testing.T) {
	if got := New(nil); got != Silent {
		t.Errorf("New(nil) = %T, want Silent", got)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	if _, ok := New(write).(*lines); !ok {
		t.Errorf("New(pipe) = %T, want plain lines", New(write))
	}
}
