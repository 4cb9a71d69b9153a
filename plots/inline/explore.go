package inline

import (
	"context"
	"errors"
	"fmt"
	"html"
	"slices"
	"sync/atomic"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/dom"
	"github.com/janpfeifer/gonb/gonbui/widgets"
)

// Control is a [Choice] of any type.
type Control interface {
	// build puts the control into the page, below an element. changed is called, from another goroutine, after each change.
	build(parent string, changed func())
	String() string
}

// Choice is a control that chooses one of some values.
type Choice[T comparable] struct {
	name   string
	values []T
	slider bool
	chosen atomic.Int64 // among values
}

// Slider is a control that slides over values. It begins at one of them, or else at the first.
func Slider[T comparable](name string, values []T, begin T) *Choice[T] {
	c := Select(name, values, begin)
	c.slider = true
	return c
}

// Select is a control that lists values. It begins at one of them, or else at the first.
func Select[T comparable](name string, values []T, begin T) *Choice[T] {
	if len(values) == 0 { // there is nothing to choose
		values = []T{begin}
	}
	c := &Choice[T]{name: name, values: values}
	c.choose(slices.Index(values, begin))
	return c
}

// Value is the value chosen.
func (c *Choice[T]) Value() T { return c.values[c.chosen.Load()] }

// String is the name with the value.
func (c *Choice[T]) String() string { return fmt.Sprintf("%s: %v", c.name, c.Value()) }

// choose takes what a browser sent.
func (c *Choice[T]) choose(i int) { c.chosen.Store(int64(min(max(0, i), len(c.values)-1))) }

func (c *Choice[T]) build(parent string, changed func()) {
	dom.Append(parent, fmt.Sprintf(`<label style="margin:0 0.4em 0 1em">%s</label>`, html.EscapeString(c.name)))
	if c.slider {
		widget := widgets.Slider(0, len(c.values)-1, int(c.chosen.Load())).AppendTo(parent).Done()
		changes := widget.Listen()
		go c.follow(changes.C, changed)
		return
	}
	var names []string
	for _, v := range c.values {
		names = append(names, html.EscapeString(fmt.Sprint(v)))
	}
	widget := widgets.Select(names).SetDefault(int(c.chosen.Load())).AppendTo(parent).Done()
	changes := widget.Listen()
	go c.follow(changes.C, changed)
}

func (c *Choice[T]) follow(changes <-chan int, changed func()) {
	for i := range changes {
		c.choose(i)
		changed()
	}
}

// patience is how long controls are waited for. A browser that was closed does not draw them.
const patience = 15 * time.Second

// Explore draws into a frame, and again whenever a control is moved, until the button Stop or the notebook's Interrupt is
// pressed; then the last drawing stays. A drawing is not begun for values that others have replaced meanwhile. Without a
// browser it is drawn once. The context that draw gets ends with Stop.
func Explore(ctx context.Context, draw func(ctx context.Context, f *Frame) error, controls ...Control) error {
	if !interactive() {
		return show(func(f *Frame) error { return draw(ctx, f) })
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	id := gonbui.UniqueId()
	outputs := []string{"controls_" + id, "frame_" + id}
	gonbui.UpdateHTML(outputs[0], fmt.Sprintf(`<div id="%s"></div>`, id))
	page := func(content string) { gonbui.UpdateHTML(outputs[1], content) }

	changes := make(chan struct{}, 1) // holds one: the newest values count
	changed := func() {
		select {
		case changes <- struct{}{}:
		default:
		}
	}
	built := make(chan struct{})
	go func() {
		defer close(built)
		for _, c := range controls {
			c.build(id, changed)
		}
		button := widgets.Button("Stop").AppendTo(id).Done()
		clicks := button.Listen()
		go func() {
			<-clicks.C
			stop()
		}()
	}()

	last, err := redraw(ctx, draw, changes, page)
	stop()
	select {
	case <-built:
	case <-time.After(patience):
	}
	for _, output := range outputs {
		gonbui.UpdateHTML(output, "")
	}
	if err == nil {
		last.display()
	}
	return err
}

// redraw draws at once and after each change, until the context ends; it returns the last whole drawing.
func redraw(ctx context.Context, draw func(context.Context, *Frame) error, changes <-chan struct{}, page func(string)) (Frame, error) {
	var last Frame
	for {
		var f Frame
		switch err := draw(ctx, &f); {
		case err == nil:
			last = f
			page(f.inPage())
		case ctx.Err() != nil && errors.Is(err, context.Canceled):
			return last, nil
		default:
			return last, err
		}
		select {
		case <-ctx.Done():
			return last, nil
		case <-changes:
		}
	}
}
