package browser

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// chromium is the browser that `make browser-test` found.
func chromium(t *testing.T) string {
	t.Helper()
	program := os.Getenv("VITDECOMPOSE_CHROMIUM")
	if program == "" {
		t.Skip("make browser-test drives JupyterLab in Chromium")
	}
	return program
}

func start(t *testing.T) *Browser {
	t.Helper()
	b, err := Start(chromium(t), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// lab starts JupyterLab for a folder with copies of the notebooks and returns its address and token. It is the
// JupyterLab of `make lab`, with the project's kernel and settings and none of the user's.
func lab(t *testing.T, notebooks ...string) (address, token string) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	dir := t.TempDir()
	for _, name := range notebooks {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o644))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())

	token = "browser-test"
	server := exec.Command(filepath.Join(root, ".jupyter", "venv", "bin", "python"), "-m", "jupyterlab",
		"--no-browser", "--allow-root", "--expose-app-in-browser", "--ServerApp.ip=127.0.0.1",
		fmt.Sprintf("--ServerApp.port=%d", port), "--ServerApp.port_retries=0",
		"--IdentityProvider.token="+token, "--ServerApp.root_dir="+dir)
	server.Dir = dir
	server.Env = append(os.Environ(),
		"JUPYTER_PATH="+filepath.Join(root, ".jupyter", "share", "jupyter"),
		"JUPYTER_CONFIG_PATH="+filepath.Join(root, ".jupyter", "etc", "jupyter"),
		"JUPYTER_CONFIG_DIR="+t.TempDir(), "JUPYTER_RUNTIME_DIR="+t.TempDir())
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	server.Stdout, server.Stderr = log, log
	require.NoError(t, server.Start(), "make lab installs JupyterLab")
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGTERM) // it ends its kernels first
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			server.Process.Kill()
			<-ended
		}
		log.Close()
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("JupyterLab said:\n%s", said)
		}
	})
	address = fmt.Sprintf("http://127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		response, err := http.Get(address + "/api/status?token=" + token)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, time.Minute, 100*time.Millisecond, "JupyterLab does not answer")
	return address, token
}

// The Stop button and the slider of the notebook, the drawing that the cell with it shows, text and figure, and whether all
// cells have run.
const (
	stop   = `Array.from(document.querySelectorAll('.jp-Notebook .jp-Cell-outputArea button')).find(b => b.textContent.trim() === 'Stop')`
	slider = `document.querySelector('.jp-Notebook input[type=range]')`
	figure = `(document.querySelector('.jp-Notebook [id^=drawn_]:has(img)')?.innerHTML ?? '')`
	ended  = `Array.from(document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')).every(p => /[0-9]/.test(p.textContent))`
)

// begin opens a notebook and runs all its cells.
func begin(ctx context.Context, t *testing.T, name string) *Page {
	t.Helper()
	b := start(t)
	address, token := lab(t, name)
	page, err := b.Open(ctx, address+"/lab/tree/"+filepath.Base(name)+"?reset&token="+token)
	require.NoError(t, err)
	t.Cleanup(func() { keepScreenshot(t, page, filepath.Base(name)) })
	require.NoError(t, page.Until(ctx, `window.jupyterapp && document.querySelector('.jp-Notebook .jp-CodeCell')`))
	require.NoError(t, page.Until(ctx, `window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.connectionStatus === 'connected'`))
	require.NoError(t, page.Eval(ctx, `void window.jupyterapp.commands.execute('notebook:run-all-cells')`, nil))
	return page
}

// run opens a notebook, runs all its cells and waits until its slider is there with a figure and the cell listens to it.
func run(ctx context.Context, t *testing.T, name string) *Page {
	t.Helper()
	page := begin(ctx, t, name)
	require.NoError(t, page.Until(ctx, stop))
	require.NoError(t, page.Until(ctx, slider))
	require.NoError(t, page.Until(ctx, figure+` !== ''`))
	require.NoError(t, page.Until(ctx, `globalThis.gonb_comm && `+slider+`.closest('[data-lm-suppress-shortcuts]')`))
	return page
}

// TestSlider moves the slider of a notebook with the mouse, sees the figure change, and presses Stop, after which the last
// figure stays and the cells below run.
func TestSlider(t *testing.T) {
	chromium(t)
	for _, name := range []string{filepath.Join("testdata", "slider.ipynb"), filepath.Join("..", "..", "notebooks", "08_alignment.ipynb")} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			ctx := within(t, 4*time.Minute) // a busy machine is slow to begin
			page := run(ctx, t, name)
			for _, place := range []float64{0.8, 0.4} { // the first one may have to train, the cache has the second one's neighbour
				var before, after string
				require.NoError(t, page.Eval(ctx, figure, &before))
				moved := time.Now()
				require.NoError(t, page.Click(ctx, slider, place))
				soon, cancel := context.WithTimeout(ctx, 40*time.Second)
				defer cancel()
				for after = before; after == before; {
					require.NoError(t, soon.Err(), "the slider moved and the figure did not change")
					require.NoError(t, page.Eval(soon, figure, &after))
				}
				t.Logf("the figure changed %v after the slider moved", time.Since(moved).Round(time.Millisecond))
			}
			require.NoError(t, page.Click(ctx, stop, 0.5))
			require.NoError(t, page.Until(ctx, ended))
			var left int
			require.NoError(t, page.Eval(ctx, `document.querySelectorAll('.jp-Notebook input[type=range], .jp-Notebook .jp-Cell-outputArea button').length`, &left))
			require.Zero(t, left, "the controls go")
			require.NoError(t, page.Until(ctx, `document.querySelector('.jp-Notebook .jp-Cell-outputArea img')`))
		})
	}
}

// shown is the frame of testdata/slider.ipynb: the value in its text, the one that its picture is of, whether it is dimmed,
// and the value above the handle.
type shown struct {
	Text, Picture, Handle, Slider int
	Dimmed                        bool
}

const frame = `(() => {
	const drawn = document.querySelector('.jp-Notebook [id^=drawn_]'), slider = ` + slider + `;
	const number = (text, pattern) => Number((text ?? '').match(pattern)?.[1] ?? -1);
	return {
		text: number(drawn.textContent, /value: (\d+)/), picture: number(drawn.querySelector('img').alt, /picture of (\d+) x/) - 300,
		handle: number(slider.parentElement.querySelector('output').textContent, /(\d+)/), slider: 10 * slider.value,
		dimmed: Number(getComputedStyle(drawn).opacity) < 1,
	};
})()`

// TestDrag drags the slider to and fro: text and picture are of the same value in every moment, the value above the handle
// follows the mouse, and in the end the frame is of the value where the mouse was let go.
func TestDrag(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	page := run(ctx, t, filepath.Join("testdata", "slider.ipynb"))
	var along []float64
	for i := range 60 {
		along = append(along, 0.5+0.45*math.Sin(float64(i)/9))
	}
	drawn, dimmed := make(map[int]bool), false
	require.NoError(t, page.Drag(ctx, slider, along, func() error {
		for range 3 {
			var s shown
			if err := page.Eval(ctx, frame, &s); err != nil {
				return err
			}
			if s.Text != s.Picture || s.Text < 0 {
				return fmt.Errorf("the text says %d under a picture of %d", s.Text, s.Picture)
			}
			if s.Handle != s.Slider {
				return fmt.Errorf("the handle says %d at %d", s.Handle, s.Slider)
			}
			drawn[s.Text], dimmed = true, dimmed || s.Dimmed
			time.Sleep(25 * time.Millisecond)
		}
		return nil
	}))
	require.Greater(t, len(drawn), 3, "the figure follows the mouse")
	require.True(t, dimmed, "a figure of a value before is dimmed")
	require.NoError(t, page.Until(ctx, `(({text, picture, slider, dimmed}) => text === slider && picture === slider && !dimmed)(`+frame+`)`))
	keepScreenshot(t, page, "dragged")
	require.NoError(t, page.Click(ctx, stop, 0.5))
	require.NoError(t, page.Until(ctx, ended))
}

// TestKeys: the keys move the slider, and JupyterLab does not see them.
func TestKeys(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	page := run(ctx, t, filepath.Join("testdata", "slider.ipynb"))
	require.NoError(t, page.Click(ctx, slider, 0.5))
	const notebook = `(notebook => [notebook.activeCellIndex, notebook.widgets.length, notebook.mode,
		...notebook.widgets.map(w => w.isHidden + ' ' + w.inputHidden + ' ' + w.outputHidden)].join())(window.jupyterapp.shell.currentWidget.content)`
	var before, after string
	require.NoError(t, page.Eval(ctx, notebook, &before))
	for _, press := range []struct {
		key   string
		value int
	}{{"ArrowRight", 60}, {"ArrowRight", 70}, {"ArrowLeft", 60}, {"ArrowUp", 70}, {"ArrowDown", 60}, {"Home", 0}, {"End", 100}, {"x", 100}, {"b", 100}} {
		require.NoError(t, page.Press(ctx, press.key))
		require.NoError(t, page.Until(ctx, fmt.Sprintf(`(({text, slider, handle}) => text === %d && slider === %[1]d && handle === %[1]d)(`+frame+`)`, press.value)), press.key)
		require.NoError(t, page.Eval(ctx, `document.activeElement === `+slider+` ? 'slider' : 'elsewhere'`, &after))
		require.Equal(t, "slider", after, "the focus stays")
		require.NoError(t, page.Eval(ctx, notebook, &after))
		require.Equal(t, before, after, "%s is no command of JupyterLab", press.key)
	}
	require.NoError(t, page.Click(ctx, stop, 0.5))
	require.NoError(t, page.Until(ctx, ended))
}

// keepScreenshot writes what the page of a test looks like in the end into the folder VITDECOMPOSE_SCREENSHOTS, where one is
// named.
func keepScreenshot(t *testing.T, p *Page, name string) {
	dir := os.Getenv("VITDECOMPOSE_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Screenshot(ctx, &shot); err != nil {
		t.Log(err)
		return
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_")+"-"+name+".png"), shot.Bytes(), 0o644))
}

// TestPage holds the protocol's client against a page that Chromium has without a server.
func TestPage(t *testing.T) {
	ctx := within(t, time.Minute)
	b := start(t)
	page, err := b.Open(ctx, "data:text/html,<input type=range min=0 max=10 value=5>")
	require.NoError(t, err)
	require.NoError(t, page.Until(ctx, `document.querySelector('input')`))
	require.NoError(t, page.Click(ctx, `document.querySelector('input')`, 0.98))
	require.NoError(t, page.Until(ctx, `document.querySelector('input').value === '10'`))
	var sum int
	require.NoError(t, page.Eval(ctx, "Promise.resolve(1 + 2)", &sum))
	require.Equal(t, 3, sum)
	require.ErrorContains(t, page.Eval(ctx, "nothing.there", nil), "nothing is not defined")
	require.ErrorContains(t, page.Eval(ctx, "undefined", &sum), "undefined has no value")
	var shot bytes.Buffer
	require.NoError(t, page.Screenshot(ctx, &shot))
	require.Equal(t, "\x89PNG", shot.String()[:4])
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, page.Until(short, "false"), "false did not come true: context deadline exceeded")
}

func TestStartWithoutChromium(t *testing.T) {
	_, err := Start(filepath.Join(t.TempDir(), "none"), t.TempDir())
	require.ErrorContains(t, err, "no such file or directory")
	b, err := Start("true", t.TempDir()) // ends at once
	require.NoError(t, err)
	_, err = b.Open(within(t, time.Minute), "about:blank")
	require.Error(t, err)
	require.NoError(t, b.Close())
}
