package inline

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/comms"
)

// Control is a [Choice] of any type.
type Control interface {
	// element is the control as HTML, an input that sends the position of the value chosen.
	element(address string) string
	// choose takes a position that a browser sent, and reports whether it differs from the one before.
	choose(position int) bool
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

func (c *Choice[T]) choose(position int) bool {
	chosen := int64(min(max(0, position), len(c.values)-1))
	return c.chosen.Swap(chosen) != chosen
}

func (c *Choice[T]) element(address string) string {
	var out strings.Builder
	fmt.Fprintf(&out, `<label style="margin-right:1em">%s `, html.EscapeString(c.name))
	if c.slider {
		fmt.Fprintf(&out, `<input type="range" min="0" max="%d" value="%d" data-address="%s">`, len(c.values)-1, c.chosen.Load(), address)
	} else {
		fmt.Fprintf(&out, `<select data-address="%s">`, address)
		for i, v := range c.values {
			selected := ""
			if int64(i) == c.chosen.Load() {
				selected = " selected"
			}
			fmt.Fprintf(&out, `<option value="%d"%s>%s</option>`, i, selected, html.EscapeString(fmt.Sprint(v)))
		}
		out.WriteString("</select>")
	}
	out.WriteString("</label>")
	return out.String()
}

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
	controlsID, frameID := "controls_"+id, "frame_"+id
	changes := make(chan struct{}, 1) // holds one: the newest values count
	connect(ctx, id, controlsID, controls, stop, func() {
		select {
		case changes <- struct{}{}:
		default:
		}
	})
	last, err := redraw(ctx, draw, changes, func(page string) { gonbui.UpdateHTML(frameID, page) })
	gonbui.UpdateHTML(controlsID, "")
	gonbui.UpdateHTML(frameID, "")
	last.display()
	return err
}

// retryAfter is how long a browser has to answer before it is asked to connect again.
const retryAfter = 4 * time.Second

// connect shows the controls, and a button Stop, and listens to them. A busy browser loses the connection that GoNB makes,
// or never has it, so the page watches for a new one and Explore requests it until the page has answered.
func connect(ctx context.Context, id, output string, controls []Control, stop, changed func()) {
	answered := make(chan struct{})
	answer := sync.OnceFunc(func() { close(answered) })
	address := func(name any) string { return fmt.Sprintf("/explore/%s/%v", id, name) }
	comms.Subscribe(address("hello"), func(string, int) { answer() })
	comms.Subscribe(address("stop"), func(string, int) { stop() })
	var page strings.Builder
	fmt.Fprintf(&page, `<div id="%s">`, id)
	for i, c := range controls {
		comms.Subscribe(address(i), func(_ string, position int) {
			if c.choose(position) {
				changed()
			}
		})
		page.WriteString(c.element(address(i)))
	}
	fmt.Fprintf(&page, `<button type="button" value="1" data-address="%s">Stop</button></div>`, address("stop"))
	fmt.Fprintf(&page, "<script>(%s)(%q, %q)</script>", watchScript, id, address("hello"))
	gonbui.UpdateHTML(output, page.String())
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-answered:
				return
			case <-time.After(retryAfter):
				comms.Start()
			}
		}
	}()
}

// watchScript sends what controls are moved to and, over every new connection, what they were moved to before.
//
//go:embed explore.js
var watchScript string

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
