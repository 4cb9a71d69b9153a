package inline

import (
	"context"
	_ "embed"
	"encoding/json"
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
	// take makes what was chosen last the value, for one drawing.
	take()
	// sketch is what a picture of the control shows.
	sketch() sketch
	String() string
}

// Choice is a control that chooses one of some values. Its value changes between two drawings and never during one, so that
// a text and a figure of the same drawing are about the same value.
type Choice[T comparable] struct {
	name   string
	values []T
	slider bool
	chosen atomic.Int64 // among values: what the browser shows,
	taken  atomic.Int64 // and what is drawn
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
	c.take()
	return c
}

// Value is the value that is drawn.
func (c *Choice[T]) Value() T { return c.values[c.taken.Load()] }

// String is the name with the value that is drawn.
func (c *Choice[T]) String() string { return fmt.Sprintf("%s: %v", c.name, c.Value()) }

func (c *Choice[T]) choose(position int) bool {
	chosen := int64(min(max(0, position), len(c.values)-1))
	return c.chosen.Swap(chosen) != chosen
}

func (c *Choice[T]) take() { c.taken.Store(c.chosen.Load()) }

// texts are the values as they are shown.
func (c *Choice[T]) texts() []string {
	texts := make([]string, len(c.values))
	for i, v := range c.values {
		texts[i] = fmt.Sprint(v)
	}
	return texts
}

func (c *Choice[T]) element(address string) string {
	var out strings.Builder
	texts, chosen := c.texts(), int(c.chosen.Load())
	fmt.Fprintf(&out, `<label style="margin-right:1.5em">%s `, html.EscapeString(c.name))
	if c.slider {
		list, _ := json.Marshal(texts) // strings always can be
		fmt.Fprintf(&out, `<span style="position:relative;display:inline-block;padding-top:1.4em">`+
			`<output style="position:absolute;top:0;transform:translateX(-50%%);white-space:nowrap">%s</output>`+
			`<input type="range" min="0" max="%d" value="%d" aria-valuetext="%s" data-values="%s" data-address="%s" style="margin:0;width:16em"></span>`,
			html.EscapeString(texts[chosen]), len(texts)-1, chosen, html.EscapeString(texts[chosen]), html.EscapeString(string(list)), address)
	} else {
		fmt.Fprintf(&out, `<select data-address="%s">`, address)
		for i, text := range texts {
			selected := ""
			if i == chosen {
				selected = " selected"
			}
			fmt.Fprintf(&out, `<option value="%d"%s>%s</option>`, i, selected, html.EscapeString(text))
		}
		out.WriteString("</select>")
	}
	out.WriteString("</label>")
	return out.String()
}

// Explore draws into a frame, and again whenever a control is moved, until the button Stop or the notebook's Interrupt is
// pressed; then the last drawing stays. A drawing is not begun for values that others have replaced meanwhile, and while one
// is computed the one before is dimmed. Without a browser it is drawn once, below a picture of the controls. The context that
// draw gets ends with Stop.
func Explore(ctx context.Context, draw func(ctx context.Context, f *Frame) error, controls ...Control) error {
	if !interactive() {
		return show(func(f *Frame) error {
			if gonbui.IsNotebook {
				if err := f.sketches(controls); err != nil {
					return err
				}
			}
			return draw(ctx, f)
		})
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p := &panel{id: gonbui.UniqueId(), controls: controls, update: gonbui.UpdateHTML}
	changes := make(chan struct{}, 1) // holds one: the newest values count
	connect(ctx, p, stop, func() {
		select {
		case changes <- struct{}{}:
		default:
		}
	})
	progress := p.output("progress") // above the figure, which may be tall
	for _, name := range []string{"progress", "dimmed", "frame"} {
		p.update(p.output(name), "")
	}
	exploring.Store(&progress)
	last, err := redraw(ctx, draw, changes, p)
	exploring.Store(nil)
	for _, name := range []string{"controls", "progress", "dimmed", "frame"} {
		p.update(p.output(name), "")
	}
	last.display()
	return err
}

// panel is what a browser shows of [Explore]: controls and, below one another, the progress of what is computed and the frame.
type panel struct {
	id       string
	controls []Control
	update   func(output, page string)
}

func (p *panel) output(name string) string { return name + "_" + p.id }

// take takes the values that were chosen last.
func (p *panel) take() {
	for _, c := range p.controls {
		c.take()
	}
}

// dim shows that the frame is one of values that others have replaced.
func (p *panel) dim() {
	p.update(p.output("dimmed"), fmt.Sprintf("<style>#drawn_%s{opacity:.35}</style>", p.id))
}

// show shows a frame. Figure and texts are one update, so that a browser never has those of different values.
func (p *panel) show(f *Frame) {
	p.update(p.output("frame"), fmt.Sprintf(`<div id="drawn_%s" style="transition:opacity .2s">%s</div>`, p.id, f.inPage()))
	p.update(p.output("dimmed"), "")
}

// retryAfter is how long a browser has to answer before it is asked to connect again.
const retryAfter = 4 * time.Second

// connect shows the controls, and a button Stop, and listens to them. A busy browser loses the connection that GoNB makes,
// or never has it, so the page watches for a new one and Explore requests it until the page has answered. The attribute keeps
// the keys that move a control from JupyterLab, which would leave the cell.
func connect(ctx context.Context, p *panel, stop, changed func()) {
	answered := make(chan struct{})
	answer := sync.OnceFunc(func() { close(answered) })
	address := func(name any) string { return fmt.Sprintf("/explore/%s/%v", p.id, name) }
	comms.Subscribe(address("hello"), func(string, int) { answer() })
	comms.Subscribe(address("stop"), func(string, int) { stop() })
	var page strings.Builder
	fmt.Fprintf(&page, `<div id="%s" data-lm-suppress-shortcuts="true">`, p.id)
	for i, c := range p.controls {
		comms.Subscribe(address(i), func(_ string, position int) {
			if c.choose(position) {
				changed()
			}
		})
		page.WriteString(c.element(address(i)))
	}
	fmt.Fprintf(&page, `<button type="button" value="1" data-address="%s">Stop</button></div>`, address("stop"))
	fmt.Fprintf(&page, "<script>(%s)(%q, %q)</script>", watchScript, p.id, address("hello"))
	p.update(p.output("controls"), page.String())
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

// watchScript shows what controls are moved to, and sends it and, over every new connection, what they were moved to before.
//
//go:embed explore.js
var watchScript string

// redraw draws at once and after each change, until the context ends; it returns the last whole drawing.
func redraw(ctx context.Context, draw func(context.Context, *Frame) error, changes <-chan struct{}, p *panel) (Frame, error) {
	var last Frame
	for {
		p.take()
		var f Frame
		switch err := draw(ctx, &f); {
		case err == nil:
			last = f
			p.show(&f)
		case ctx.Err() != nil && errors.Is(err, context.Canceled):
			return last, nil
		default:
			return last, err
		}
		select {
		case <-ctx.Done():
			return last, nil
		case <-changes:
			p.dim()
		}
	}
}
