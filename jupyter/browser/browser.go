// Package browser drives a headless Chromium for the test of the notebooks' widgets.
//
// It speaks the DevTools protocol (https://chromedevtools.github.io/devtools-protocol) over the two pipes of Chromium's
// --remote-debugging-pipe: each message is JSON that ends with a zero byte. Nothing listens on the network.
package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// maxMessage is the largest answer of Chromium that is read.
const maxMessage = 64 << 20

// Browser is a running Chromium. Close ends it.
type Browser struct {
	cmd *exec.Cmd
	to  *os.File

	mu      sync.Mutex
	next    int
	waiting map[int]chan answer
	events  []Event       // of the pages that are watched
	ended   error         // why no more answers come
	done    chan struct{} // closed when ended is set
}

// answer is what Chromium says to a call.
type answer struct {
	ID     int             `json:"id"` // 0 for an event, which no call waits for
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// Start starts the program, a Chromium, with its own profile directory.
func Start(program, profile string) (*Browser, error) {
	fromUs, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	from, toUs, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, fromUs.Close(), to.Close())
	}
	cmd := exec.Command(program, "--headless=new", "--remote-debugging-pipe", "--user-data-dir="+profile,
		"--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
		"--no-sandbox", // it opens the local JupyterLab alone, and root has no other way
		"--window-size=1400,1400")
	cmd.ExtraFiles = []*os.File{fromUs, toUs} // file descriptors 3 and 4
	err = cmd.Start()
	closed := errors.Join(fromUs.Close(), toUs.Close())
	if err = errors.Join(err, closed); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", program, err), to.Close(), from.Close())
	}
	b := &Browser{cmd: cmd, to: to, waiting: map[int]chan answer{}, done: make(chan struct{})}
	go b.read(from)
	return b, nil
}

// read hands out the answers until the pipe ends.
func (b *Browser) read(from *os.File) {
	defer from.Close()
	messages := bufio.NewScanner(from)
	messages.Buffer(nil, maxMessage)
	messages.Split(untilZero)
	for messages.Scan() {
		var a answer
		if json.Unmarshal(messages.Bytes(), &a) != nil {
			continue
		}
		if a.ID == 0 {
			b.keep(messages.Bytes())
			continue
		}
		b.mu.Lock()
		if c, ok := b.waiting[a.ID]; ok {
			delete(b.waiting, a.ID)
			c <- a
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = errors.New("chromium ended")
	if err := messages.Err(); err != nil {
		b.ended = fmt.Errorf("chromium: %w", err)
	}
	close(b.done)
}

// untilZero is a bufio.SplitFunc for messages that end with a zero byte.
func untilZero(data []byte, _ bool) (advance int, token []byte, err error) {
	for i, c := range data {
		if c == 0 {
			return i + 1, data[:i], nil
		}
	}
	return 0, nil, nil
}

// call calls a method, in a session or, with "", in the browser itself.
func (b *Browser) call(ctx context.Context, session, method string, params, result any) error {
	c := make(chan answer, 1)
	b.mu.Lock()
	b.next++
	id := b.next
	b.waiting[id] = c
	message, err := json.Marshal(struct {
		ID      int    `json:"id"`
		Session string `json:"sessionId,omitempty"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}{id, session, method, params})
	if err == nil {
		_, err = b.to.Write(append(message, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case a := <-c:
		if a.Error != nil {
			return fmt.Errorf("%s: %s", method, a.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-b.done:
		return fmt.Errorf("%s: %w", method, b.ended)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// Close ends Chromium.
func (b *Browser) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b.call(ctx, "", "Browser.close", struct{}{}, nil) // where that does not help, the kill does
	select {
	case <-b.done:
	case <-ctx.Done():
		b.cmd.Process.Kill()
	}
	err := b.to.Close()
	b.cmd.Wait() // its exit code says nothing here
	return err
}

// Page is a tab.
type Page struct {
	browser *Browser
	session string
}

// Open opens a URL in a new tab.
func (b *Browser) Open(ctx context.Context, url string) (*Page, error) {
	var target struct{ TargetID string }
	if err := b.call(ctx, "", "Target.createTarget", map[string]any{"url": url}, &target); err != nil {
		return nil, err
	}
	var session struct{ SessionID string }
	err := b.call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	return &Page{b, session.SessionID}, err
}

// Frame attaches to the first frame whose page may not touch the others', such as that of an explorer in a notebook.
func (b *Browser) Frame(ctx context.Context) (*Page, error) {
	for {
		var all struct {
			TargetInfos []struct{ TargetID, Type string }
		}
		if err := b.call(ctx, "", "Target.getTargets", map[string]any{"filter": []any{map[string]any{"type": "iframe"}}}, &all); err != nil {
			return nil, err
		}
		for _, target := range all.TargetInfos {
			var session struct{ SessionID string }
			err := b.call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
			return &Page{b, session.SessionID}, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Eval evaluates a JavaScript expression, waits for it where it is a promise, and decodes its value into result unless
// that is nil.
func (p *Page) Eval(ctx context.Context, expression string, result any) error {
	var a struct {
		Result struct {
			Value json.RawMessage
		}
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := p.browser.call(ctx, p.session, "Runtime.evaluate",
		map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true}, &a)
	switch {
	case err != nil:
		return err
	case a.ExceptionDetails != nil:
		return fmt.Errorf("the page: %s %s", a.ExceptionDetails.Text, a.ExceptionDetails.Exception.Description)
	case result == nil:
		return nil
	case a.Result.Value == nil:
		return fmt.Errorf("the page: %s has no value", expression)
	}
	return json.Unmarshal(a.Result.Value, result)
}

// Until evaluates an expression until it is true.
func (p *Page) Until(ctx context.Context, expression string) error {
	for {
		var yes bool
		err := p.Eval(ctx, "Boolean("+expression+")", &yes)
		if err == nil && yes {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come true: %w", expression, errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Click presses the mouse on an element, which the expression gives: at this fraction of its width and in the middle of
// its height. On a slider it takes the value that is there.
func (p *Page) Click(ctx context.Context, element string, fraction float64) error {
	return p.Drag(ctx, element, []float64{fraction}, nil)
}

// box is the rectangle of an element on the page, in pixels.
type box struct{ Left, Top, Width, Height float64 }

// box scrolls an element into view, to where block says as scrollIntoView takes it, and gives its place there.
func (p *Page) box(ctx context.Context, element, block string) (b box, err error) {
	err = p.Eval(ctx, `(element => {
		element.scrollIntoView({block: '`+block+`'});
		const {left, top, width, height} = element.getBoundingClientRect();
		return {left, top, width, height};
	})(`+element+`)`, &b)
	return b, err
}

// Drag presses the mouse on an element at the first of some fractions of its width, moves it to the others and lets it go.
// each, if not nil, is called at each place while the mouse is held there.
func (p *Page) Drag(ctx context.Context, element string, along []float64, each func() error) error {
	box, err := p.box(ctx, element, "center")
	if err != nil {
		return err
	}
	mouse := func(kind string, buttons int, fraction float64) error {
		return p.browser.call(ctx, p.session, "Input.dispatchMouseEvent", map[string]any{
			"type": kind, "button": "left", "buttons": buttons, "clickCount": 1,
			"x": box.Left + fraction*box.Width, "y": box.Top + box.Height/2,
		}, nil)
	}
	kind := "mousePressed"
	for _, fraction := range along {
		if err := mouse(kind, 1, fraction); err != nil {
			return err
		}
		kind = "mouseMoved"
		if each == nil {
			continue
		}
		if err := each(); err != nil {
			return err
		}
	}
	return mouse("mouseReleased", 0, along[len(along)-1])
}

// Screenshot writes the page as a PNG.
func (p *Page) Screenshot(ctx context.Context, w io.Writer) error {
	var shot struct{ Data []byte }
	if err := p.browser.call(ctx, p.session, "Page.captureScreenshot", map[string]any{"format": "png"}, &shot); err != nil {
		return err
	}
	_, err := w.Write(shot.Data)
	return err
}
