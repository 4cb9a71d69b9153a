package browser

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"image/png"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/tiny"
	"vitdecompose/plots/explorer"
)

// explorerPage writes an explorer page of a tiny model and two pictures.
func explorerPage(t *testing.T) (file string) {
	t.Helper()
	s, err := session.With(t.Context(), session.Options{CacheDir: t.TempDir()},
		session.Given{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 6, ClassNames: []string{"a", "b", "c", "d", "e"}}})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	found, err := experiments.Explore(t.Context(), s, experiments.ExploreConfig{Pictures: []int{0, 1}, NoTexts: true})
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "page.html")
	require.NoError(t, explorer.Write(file, explorer.Page{Models: []explorer.Model{{ExploredModel: found, View: s.View()}}, Data: s.Pictures()}))
	return file
}

// What the test looks at on the page.
const (
	mapPixels = `(() => {
		const c = document.querySelector('.map canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
		let sum = 0;
		for (let i = 0; i < d.length; i++) sum = (31 * sum + d[i]) % 4294967291;
		return sum;
	})()`
	colours   = `Array.from(document.querySelectorAll('td[data-part]')).map(td => td.style.background).join()`
	focused   = `document.activeElement.dataset.part ?? document.activeElement.className`
	cellOf    = `document.querySelector('td[data-part="%d"]')`
	drawnPart = `document.querySelector('.map canvas').dataset.part`
)

// TestExplorer uses an explorer page from the disk, by mouse and by keyboard, and saves what it shows.
func TestExplorer(t *testing.T) {
	b := start(t)
	ctx := within(t, 2*time.Minute)
	file := explorerPage(t)
	page, err := b.Watch(ctx, "file://"+file)
	require.NoError(t, err)
	text := func(expression string) (s string) {
		t.Helper()
		require.NoError(t, page.Eval(ctx, "String("+expression+")", &s))
		return s
	}
	require.NoError(t, page.Until(ctx, drawnPart+` === '-1'`))

	// The sum is said, and is what the numbers in the cells sum to.
	require.Contains(t, text(`document.querySelector('.sum').textContent`), "parts sum to")
	require.Contains(t, text(`document.querySelector('.sum').textContent`), "measured error")

	// The mouse over a head draws its map and says what it is; beside it, that of all parts comes back.
	all := text(mapPixels)
	require.NoError(t, page.Move(ctx, fmt.Sprintf(cellOf, 1), 0.5, 0.5))
	require.NoError(t, page.Until(ctx, drawnPart+` === '1'`))
	require.NotEqual(t, all, text(mapPixels))
	require.Contains(t, text(`document.querySelector('.detail').textContent`), "L0 H0 attention head")
	require.Equal(t, "4", text(`document.querySelectorAll('.detail .tops img').length`), "pictures of the data")
	require.NoError(t, page.Move(ctx, `document.querySelector('h2')`, 0.5, 0.5))
	require.NoError(t, page.Until(ctx, drawnPart+` === '-1'`))
	require.Equal(t, all, text(mapPixels))

	// The mouse over the picture says which heads read the patch.
	require.NoError(t, page.Move(ctx, `document.querySelector('.map')`, 0.75, 0.25))
	require.NoError(t, page.Until(ctx, `document.querySelector('.detail').textContent.includes('Patch in row 1, column 2')`))
	require.Equal(t, "4", text(`document.querySelectorAll('.detail section:last-child button.name').length`), "all four heads read it")
	require.Equal(t, "false", text(`document.querySelector('.map .cursor').hidden`))

	// Another class has other colours.
	before := text(colours)
	require.NoError(t, page.Eval(ctx, `(() => { const b = document.querySelectorAll('.classes button'); b[1].click(); })()`, nil))
	require.NotEqual(t, before, text(colours))
	require.Equal(t, text(`document.querySelectorAll('.classes button span')[2].textContent`), text(`document.querySelector('#question').selectedOptions[0].textContent`))

	// Keys: arrows move the focus over the grid, and the map follows.
	require.NoError(t, page.Eval(ctx, fmt.Sprintf(cellOf, 1)+`.focus()`, nil))
	for _, step := range []struct{ key, to string }{{"ArrowRight", "2"}, {"ArrowRight", "3"}, {"ArrowRight", "3"}, {"ArrowDown", "6"}, {"Home", "4"}, {"ArrowUp", "1"}, {"End", "3"}, {"ArrowLeft", "2"}, {"ArrowDown", "5"}} {
		require.NoError(t, page.Press(ctx, step.key))
		require.Equal(t, step.to, text(focused), step.key)
	}
	require.NoError(t, page.Until(ctx, drawnPart+` === '5'`))
	require.Equal(t, "1", text(`document.querySelectorAll('td[data-part][tabindex="0"]').length`), "one stop for Tab")
	require.Contains(t, text(`document.activeElement.getAttribute('aria-label')`), "L1 H1, attention head: ")
	require.NoError(t, page.Eval(ctx, `document.querySelector('.map').focus()`, nil))
	require.NoError(t, page.Press(ctx, "ArrowRight"))
	require.NoError(t, page.Press(ctx, "ArrowUp"))
	require.NoError(t, page.Until(ctx, `document.querySelector('#live').textContent.startsWith('Patch row 1, column 2')`))

	// The address holds the state: the same address shows the same again.
	address, pixels, cells := text("location.href"), text(mapPixels), text(colours)
	require.Contains(t, address, "part=layer%3A01%2C+attn_head%3A01")
	require.Contains(t, address, "patch=0.1")
	again, err := b.Watch(ctx, address)
	require.NoError(t, err)
	require.NoError(t, again.Until(ctx, drawnPart+` === '5'`))
	var pixelsAgain, cellsAgain string
	require.NoError(t, again.Eval(ctx, "String("+mapPixels+")", &pixelsAgain))
	require.NoError(t, again.Eval(ctx, colours, &cellsAgain))
	require.Equal(t, pixels, pixelsAgain)
	require.Equal(t, cells, cellsAgain)

	// Two pictures beside each other have one scale.
	require.NoError(t, page.Eval(ctx, `(() => { const s = document.querySelector('#other'); s.value = '1'; s.dispatchEvent(new Event('change')); })()`, nil))
	require.Equal(t, "2", text(`document.querySelectorAll('.pane').length`))
	require.Contains(t, text(`document.querySelector('.pane:last-child .body > div:nth-child(2) .unit').textContent`), "the same scale on both sides")

	// The view as files.
	var svg, encoded string
	require.NoError(t, page.Eval(ctx, `explorer.exported('svg').then(b => b.text())`, &svg))
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for err = error(nil); err == nil; {
		_, err = decoder.Token()
	}
	require.ErrorIs(t, err, io.EOF, "the SVG is well-formed")
	require.Contains(t, svg, "@font-face{font-family:Liberation Sans;src:url(data:font/ttf;base64,")
	require.NotContains(t, strings.ReplaceAll(svg, "http://www.w3.org/2000/svg", ""), "http")
	require.NoError(t, page.Eval(ctx, `explorer.exported('png').then(b => b.arrayBuffer()).then(a => Array.from(new Uint8Array(a), c => String.fromCharCode(c)).join('')).then(btoa)`, &encoded))
	decoded, err := png.DecodeConfig(base64Reader(encoded))
	require.NoError(t, err)
	require.InDelta(t, 6.95*300, decoded.Width, 1, "as wide as a page, 300 pixels to the inch")

	// Nothing was said on the console, and nothing was loaded but the page itself.
	for _, p := range []*Page{page, again} {
		for _, e := range p.Events("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") {
			t.Errorf("%s: %s", e.Method, e.Params)
		}
		for _, e := range p.Events("Network.requestWillBeSent") {
			if !bytes.Contains(e.Params, []byte(`"url":"file://`)) && !bytes.Contains(e.Params, []byte(`"url":"data:`)) && !bytes.Contains(e.Params, []byte(`"url":"blob:`)) {
				t.Errorf("a request: %s", e.Params)
			}
		}
	}
	keepScreenshot(t, page, "explorer")
}

// TestExplorerInNotebook uses the page within a notebook, by mouse and keyboard: JupyterLab does not see the keys.
func TestExplorerInNotebook(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	lab := begin(ctx, t, filepath.Join("testdata", "explorer.ipynb"))
	require.NoError(t, lab.Until(ctx, `document.querySelector('.jp-Notebook .jp-CodeCell .cm-lineWrapping')`), "long lines of cells are wrapped")
	require.NoError(t, lab.Until(ctx, `document.querySelector('.jp-Notebook iframe[title=explorer]')`))
	page, err := lab.browser.Frame(ctx)
	require.NoError(t, err)
	require.NoError(t, page.Until(ctx, `document.querySelector('.map canvas') && `+drawnPart+` === '-1'`))
	require.NoError(t, lab.Eval(ctx, `document.querySelector('.jp-Notebook iframe[title=explorer]').scrollIntoView()`, nil))
	require.NoError(t, page.Move(ctx, fmt.Sprintf(cellOf, 1), 0.5, 0.5))
	require.NoError(t, page.Until(ctx, drawnPart+` === '1'`))
	require.NoError(t, page.Eval(ctx, fmt.Sprintf(cellOf, 1)+`.focus()`, nil))
	require.NoError(t, page.Press(ctx, "ArrowRight"))
	require.NoError(t, page.Until(ctx, drawnPart+` === '2'`))
	var text string
	require.NoError(t, page.Eval(ctx, `document.querySelector('.sum').textContent`, &text))
	require.Contains(t, text, "parts sum to")
	keepScreenshot(t, lab, "explorer")
}

// TestExplorerSession asks a running session about a class that the page does not have, and about one that nobody has.
func TestExplorerSession(t *testing.T) {
	b := start(t)
	ctx := within(t, time.Minute)
	s, err := session.With(t.Context(), session.Options{CacheDir: t.TempDir()},
		session.Given{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 6, ClassNames: []string{"a", "b", "c", "d", "e"}}})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	e, err := experiments.NewExplorer(t.Context(), s, experiments.ExploreConfig{NoTexts: true, Best: 1})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &explorer.Server{Explorers: []*experiments.Explorer{e}, Views: []session.View{s.View()}, Pictures: s.Pictures(), Data: s.Pictures()}
	ended := make(chan error, 1)
	serving, end := context.WithCancel(t.Context())
	go func() { ended <- server.Serve(serving, l) }()

	page, err := b.Watch(ctx, "http://"+l.Addr().String()+"/")
	require.NoError(t, err)
	require.NoError(t, page.Until(ctx, `document.querySelectorAll('img').length === 6 && document.querySelector('img').naturalWidth > 0`))
	require.NoError(t, page.Eval(ctx, `document.querySelectorAll('li a')[2].click()`, nil))
	require.NoError(t, page.Until(ctx, `document.querySelector('#asked')`))
	ask := func(name string) {
		require.NoError(t, page.Eval(ctx, `(() => { const i = document.querySelector('#asked'); i.value = '`+name+`'; i.form.requestSubmit(); })()`, nil))
	}
	var known []string
	require.NoError(t, page.Eval(ctx, `Array.from(document.querySelectorAll('#known option'), o => o.value)`, &known))
	require.Len(t, known, tiny.Classes)
	for _, name := range known {
		ask(name)
		require.NoError(t, page.Until(ctx, `document.querySelector('#question').selectedOptions[0].textContent === '`+name+`'`))
		require.NoError(t, page.Until(ctx, `document.querySelector('.sum').textContent.includes('“`+name+`”: 8 parts sum to')`))
	}
	ask("unicorn")
	require.NoError(t, page.Until(ctx, `!document.querySelector('#wrong').hidden && document.querySelector('#wrong').textContent.includes('no class')`))
	end()
	require.NoError(t, <-ended)
	ask("unicorn")
	require.NoError(t, page.Until(ctx, `document.querySelector('#wrong').textContent.includes('does not answer')`))
	for _, e := range page.Events("Runtime.exceptionThrown") {
		t.Errorf("%s: %s", e.Method, e.Params)
	}
}

func base64Reader(text string) io.Reader {
	return base64.NewDecoder(base64.StdEncoding, strings.NewReader(text))
}
