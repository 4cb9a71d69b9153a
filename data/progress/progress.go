// Package progress tells a waiting person how far a long piece of work has come.
//
// Work that may take more than a second or two takes a [Reporter] and tells it what is done:
//
//	report := progress.New(os.Stderr)
//	report.Start("decompose", len(pictures)) // a stage and how many steps it has
//	for range pictures {
//		// ... one step ...
//		report.Add(1)
//	}
//	report.Done()
//
// On a terminal that is a bar with the rate and the time left. Where standard error goes to a file or a pipe it is a
// plain line when a stage starts, one every few seconds while it runs, and one when it is done:
//
//	decompose: 0 of 1000
//	decompose: 312 of 1000 (31%), 62.3/s, 11s left
//	decompose: 1000 of 1000, 62.1/s, 18s, 2.1s of it before the first
//
// The first step often takes longer than the others, because it waits for a program to be compiled. Rates and the time left
// leave it out, and nothing is estimated before a second of steady work.
//
// A reporter has one stage at a time. Its methods may be called from several goroutines at once. Nothing here writes
// to standard output, which belongs to results.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Reporter is called with the progress of a stage of work.
type Reporter interface {
	// Start begins the stage named what, which has total steps; total <= 0 means that the number is not known. A
	// stage that is still open is done with first.
	Start(what string, total int)
	// Add tells that n more steps are done. Without an open stage it does nothing.
	Add(n int)
	// Done ends the stage, complete or not. Without an open stage it does nothing.
	Done()
}

// Every is how often [New] writes a plain line when w is not a terminal.
const Every = 5 * time.Second

// Silent is the Reporter that says nothing.
var Silent Reporter = silent{}

type silent struct{}

func (silent) Start(string, int) {}
func (silent) Add(int)           {}
func (silent) Done()             {}

// New returns the Reporter that suits w: a bar if w is a terminal that can redraw a line, plain lines otherwise, and
// [Silent] if w is nil.
func New(w *os.File) Reporter {
	switch {
	case w == nil:
		return Silent
	case term.IsTerminal(int(w.Fd())) && os.Getenv("TERM") != "dumb":
		return newBar(w, time.Now)
	default:
		return NewLines(w, Every)
	}
}

// NewLines returns a Reporter that writes plain lines to w: one when a stage starts, at most one per interval while
// it runs, and one when it is done. Lines are written by the calls to Add, so work that hangs falls silent.
func NewLines(w io.Writer, interval time.Duration) Reporter {
	return &lines{w: w, interval: interval, now: time.Now}
}

// stage is what both reporters know about the work under way.
type stage struct {
	open        bool
	what        string
	total, done int // total 0: not known
	began       time.Time
	first       time.Time // when the first steps were done
	firstDone   int       // how many these were
}

// steadily is how long work must have gone on after its first steps before anything is estimated from it.
const steadily = time.Second

// add notes that n more steps are done.
func (s *stage) add(n int, now time.Time) {
	if s.done == 0 {
		s.first, s.firstDone = now, n
	}
	s.done += n
}

// steady is what was done after the first steps, and in which time; false before there is enough of it.
func (s stage) steady(now time.Time) (done int, took time.Duration, enough bool) {
	if s.done == 0 {
		return 0, 0, false
	}
	done, took = s.done-s.firstDone, now.Sub(s.first)
	return done, took, done > 0 && took >= steadily
}

func begin(what string, total int, now time.Time) stage {
	return stage{open: true, what: what, total: max(total, 0), began: now}
}

// summary is the last line of a stage: all that was done, how fast, and how long it took.
func (s stage) summary(now time.Time) string {
	elapsed := now.Sub(s.began)
	done, took, enough := s.steady(now)
	before := elapsed - took
	if !enough {
		done, took = s.done, elapsed
	}
	line := s.count()
	if rate := rate(done, took); rate != "" {
		line += ", " + rate
	}
	line += ", " + short(elapsed)
	if enough && before >= time.Second {
		line += ", " + short(before) + " of it before the first"
	}
	return line
}

// status is a line about a stage that is still running.
func (s stage) status(now time.Time) string {
	line := s.count()
	if s.total > 0 {
		line += fmt.Sprintf(" (%d%%)", 100*s.done/s.total)
	}
	return line + s.pace(now)
}

// pace is the rate and the time left, each after a comma; "" while nothing can be said.
func (s stage) pace(now time.Time) string {
	done, took, enough := s.steady(now)
	if !enough {
		return ""
	}
	line := ", " + rate(done, took)
	if s.total > s.done {
		left := float64(took) / float64(done) * float64(s.total-s.done)
		line += ", " + short(time.Duration(left)) + " left"
	}
	return line
}

func (s stage) count() string {
	if s.total > 0 {
		return fmt.Sprintf("%s: %d of %d", s.what, s.done, s.total)
	}
	return fmt.Sprintf("%s: %d", s.what, s.done)
}

// rate is steps per second with three significant digits, or "" before anything can be said.
func rate(done int, took time.Duration) string {
	if done == 0 || took <= 0 {
		return ""
	}
	perSecond := float64(done) / took.Seconds()
	if perSecond >= 100 {
		return fmt.Sprintf("%.0f/s", perSecond)
	}
	return fmt.Sprintf("%.3g/s", perSecond)
}

// short writes a duration with a precision that a waiting person cares for.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

type lines struct {
	w        io.Writer
	interval time.Duration
	now      func() time.Time // a clock, so that tests need not wait

	mu    sync.Mutex
	stage stage
	last  time.Time // when the last line was written
}

func (l *lines) Start(what string, total int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish()
	now := l.now()
	l.stage = begin(what, total, now)
	l.say(l.stage.count(), now)
}

func (l *lines) Add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stage.open {
		return
	}
	now := l.now()
	l.stage.add(n, now)
	if now.Sub(l.last) >= l.interval {
		l.say(l.stage.status(now), now)
	}
}

func (l *lines) Done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish()
}

func (l *lines) finish() {
	if l.stage.open {
		now := l.now()
		l.say(l.stage.summary(now), now)
		l.stage.open = false
	}
}

// say writes one line. Work must not fail because its progress cannot be shown, so errors of the writer are ignored.
func (l *lines) say(line string, now time.Time) {
	l.last = now
	_, _ = io.WriteString(l.w, line+"\n")
}

// bar draws on a terminal: a progressbar while a stage runs, replaced by one plain line when it is done.
type bar struct {
	w   io.Writer
	now func() time.Time

	mu     sync.Mutex
	stage  stage
	bar    *progressbar.ProgressBar
	widest int // of the descriptions of the stage so far
}

func newBar(w io.Writer, now func() time.Time) *bar { return &bar{w: w, now: now} }

func (b *bar) Start(what string, total int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finish()
	b.stage, b.widest = begin(what, total, b.now()), 0
	length := int64(-1) // a spinner
	if b.stage.total > 0 {
		length = int64(b.stage.total)
	}
	b.bar = progressbar.NewOptions64(length,
		progressbar.OptionSetWriter(b.w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetWidth(30),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}),
		progressbar.OptionShowCount(),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetPredictTime(false), // it would count the first step
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetSpinnerChangeInterval(0), // turns with the steps, without a goroutine for it
		progressbar.OptionSetRenderBlankState(true),
	)
}

func (b *bar) Add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stage.open {
		return
	}
	now := b.now()
	b.stage.add(n, now)
	// Padded, so that the bar stays where it is.
	description := fmt.Sprintf("%-*s", b.widest, b.stage.what+b.stage.pace(now))
	b.widest = len(description)
	b.bar.Describe(description)
	shown := b.stage.done
	if b.stage.total > 0 {
		// The bar would stop drawing at its end; the summary line tells the true number.
		shown = min(shown, b.stage.total-1)
	}
	_ = b.bar.Set(shown) // fails only if the terminal does, and then there is nowhere to report it
}

func (b *bar) Done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finish()
}

func (b *bar) finish() {
	if !b.stage.open {
		return
	}
	b.stage.open = false
	// As in say: progress that cannot be shown must not stop the work.
	_ = b.bar.Finish() // wipes the line
	_, _ = io.WriteString(b.w, b.stage.summary(b.now())+"\n")
}
