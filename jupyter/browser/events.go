package browser

import (
	"context"
	"encoding/json"
	"slices"
)

// Event is what Chromium tells of a page that is watched: a message on the console, an error, a request.
type Event struct {
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// kept are the events that are remembered.
var kept = []string{"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Network.requestWillBeSent"}

// keep remembers an event.
func (b *Browser) keep(message []byte) {
	var e Event
	if json.Unmarshal(message, &e) != nil || !slices.Contains(kept, e.Method) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
}

// Watch opens a URL in a new tab, and from before it is loaded remembers what is said on the console, errors and requests.
func (b *Browser) Watch(ctx context.Context, url string) (*Page, error) {
	p, err := b.Open(ctx, "about:blank")
	if err != nil {
		return nil, err
	}
	for _, domain := range []string{"Runtime", "Log", "Network", "Page"} {
		if err := b.call(ctx, p.session, domain+".enable", struct{}{}, nil); err != nil {
			return nil, err
		}
	}
	return p, b.call(ctx, p.session, "Page.navigate", map[string]any{"url": url}, nil)
}

// Events are what happened on a page that is watched, those of some methods.
func (p *Page) Events(methods ...string) []Event {
	p.browser.mu.Lock()
	defer p.browser.mu.Unlock()
	var found []Event
	for _, e := range p.browser.events {
		if e.Session == p.session && slices.Contains(methods, e.Method) {
			found = append(found, e)
		}
	}
	return found
}

// Move moves the mouse over an element, which the expression gives: at fractions of its width and height.
func (p *Page) Move(ctx context.Context, element string, across, down float64) error {
	box, err := p.box(ctx, element, "nearest")
	if err != nil {
		return err
	}
	return p.browser.call(ctx, p.session, "Input.dispatchMouseEvent", map[string]any{
		"type": "mouseMoved", "x": box.Left + across*box.Width, "y": box.Top + down*box.Height,
	}, nil)
}

// Press presses a key that has a name, such as ArrowRight or Tab.
func (p *Page) Press(ctx context.Context, key string) error {
	codes := map[string]int{"Tab": 9, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "b": 66, "x": 88}
	for _, kind := range []string{"rawKeyDown", "keyUp"} {
		if err := p.browser.call(ctx, p.session, "Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": codes[key], "nativeVirtualKeyCode": codes[key]}, nil); err != nil {
			return err
		}
	}
	return nil
}
