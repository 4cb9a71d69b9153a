package inline

import (
	"fmt"
	"html"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/janpfeifer/gonb/gonbui"

	"vitdecompose/data/progress"
)

// refreshInterval is the least time between two drawings of a bar.
const refreshInterval = 200 * time.Millisecond

// Progress is the reporter for a cell: a bar that updates in place, and nothing where no browser shows the notebook. Outside
// notebooks it is that of the terminal.
func Progress() progress.Reporter {
	switch {
	case interactive():
		return &bar{update: func(page string) { gonbui.UpdateHTML(progressID(), page) }, now: time.Now}
	case gonbui.IsNotebook:
		return progress.Silent
	}
	return progress.New(os.Stderr)
}

// progressID is the output that bars are drawn in: one for all bars of the cell, and another one next to the controls of
// [Explore].
func progressID() string {
	if id := exploring.Load(); id != nil {
		return *id
	}
	return cellProgress()
}

var (
	cellProgress = sync.OnceValue(gonbui.UniqueId)
	exploring    atomic.Pointer[string] // the output for bars while Explore draws
)

// bar draws a stage as HTML.
type bar struct {
	update func(page string)
	now    func() time.Time // a clock, so that tests need not wait

	mu          sync.Mutex
	open        bool
	what        string
	total, done int
	began, last time.Time
}

// Start implements progress.Reporter.
func (b *bar) Start(what string, total int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open, b.what, b.total, b.done, b.began = true, what, total, 0, b.now()
	b.draw()
}

// Add implements progress.Reporter.
func (b *bar) Add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return
	}
	b.done += n
	if b.now().Sub(b.last) >= refreshInterval {
		b.draw()
	}
}

// Done implements progress.Reporter: the bar goes away.
func (b *bar) Done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		b.open = false
		b.update("")
	}
}

func (b *bar) draw() {
	b.last = b.now()
	value := "" // moves to and fro where the end is not known
	text := fmt.Sprintf("%s: %d", b.what, b.done)
	if b.total > 0 {
		value = fmt.Sprintf(` value="%d" max="%d"`, b.done, b.total)
		text += fmt.Sprintf(" of %d", b.total)
		if elapsed := b.last.Sub(b.began); b.done > 0 && elapsed > time.Second {
			left := time.Duration(float64(elapsed) / float64(b.done) * float64(max(0, b.total-b.done)))
			text += fmt.Sprintf(", %s left", left.Round(time.Second))
		}
	}
	b.update(fmt.Sprintf("<div><progress%s></progress> %s</div>", value, html.EscapeString(text)))
}
