package inline

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments"
	"vitdecompose/experiments/results"
	"vitdecompose/plots"
)

// printed is what f writes to standard output.
func printed(t *testing.T, f func()) string {
	t.Helper()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = writer
	defer func() { os.Stdout = stdout }()
	f()
	require.NoError(t, writer.Close())
	out, err := io.ReadAll(reader)
	require.NoError(t, err)
	return string(out)
}

// ranking is a small figure.
func ranking(t *testing.T) *plots.Figure {
	t.Helper()
	figure, err := plots.Ranking(experiments.RankingResult{Models: []experiments.ModelRanking{{
		Model: "deit-mini", Pictures: 10, Components: 3, Within: 0.5, Between: 0.7,
		Features: []experiments.FeatureAgreement{{Feature: "color", Spearman: 0.7}},
	}}})
	require.NoError(t, err)
	return figure
}

func TestOutsideANotebook(t *testing.T) {
	require.False(t, interactive())
	out := printed(t, func() {
		Show(ranking(t))
		Table(results.Table{Header: []string{"a", "b"}, Rows: [][]string{{"x", "1"}}})
		Image(image.NewGray(image.Rect(0, 0, 64, 32)))
		Published("waterbirds")
	})
	for _, want := range []string{"figure of 3.35 x ", "\nAgreement of attributions", "| a   |   b |", "picture of 64 x 32 pixels", "Table 3", "| DINOv2 |", "0.978"} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "method", "nobody compares methods here")
}

func TestPublishedMethods(t *testing.T) {
	table, ok := experiments.Published("segmentation")
	require.True(t, ok)
	out := publishedTable(table)
	require.Equal(t, []string{"model", "method", "pixel accuracy", "mIoU", "mAP"}, out.Header)
	require.Equal(t, []string{"DeiT", experiments.ByDecomposition, "0.7719", "0.5291", "0.8305"}, out.Rows[0])
}

func TestFramePage(t *testing.T) {
	var f Frame
	f.Printf("%s", "<b>")
	f.Table(results.Table{Header: []string{"text", "n"}, Rows: [][]string{{"a&b", "1"}, {"c", "2"}}})
	require.NoError(t, f.Show(ranking(t)))
	page := f.inPage()
	for _, want := range []string{"<p>&lt;b&gt;</p>", "a&amp;b", `<td style="text-align:right">2</td>`, `src="data:image/png;base64,iVBOR`, `">Agreement of attributions with CLIP&#39;s ranking. `} {
		require.Contains(t, page, want)
	}
	require.Error(t, f.Image(image.NewGray(image.Rectangle{})))
}

func TestLargePicturesAreJPEG(t *testing.T) {
	noise := image.NewRGBA(image.Rect(0, 0, 300, 300))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 300 * 300 {
		noise.Set(i%300, i/300, color.RGBA{uint8(rng.Uint32()), uint8(rng.Uint32()), uint8(rng.Uint32()), 255})
	}
	var f Frame
	require.NoError(t, f.Image(noise))
	require.Equal(t, "image/jpeg", string(f.parts[0].kind))
	require.Contains(t, f.inPage(), "data:image/jpeg;base64,/9j/")
}

func TestExport(t *testing.T) {
	base := filepath.Join(t.TempDir(), "new", "ranking")
	out := printed(t, func() { require.NoError(t, Export(ranking(t), base, Column)) })
	require.Equal(t, "wrote "+base+".{png,svg,pdf,txt,tex}\n", out)
	svg, err := os.ReadFile(base + ".svg")
	require.NoError(t, err)
	require.Contains(t, string(svg), fmt.Sprintf(`width="%.1fpt"`, Column.Points()))
	for _, extension := range []string{".pdf", ".png", ".txt", ".tex"} {
		require.FileExists(t, base+extension)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	require.ErrorContains(t, Export(ranking(t), filepath.Join(file, "ranking"), Page), "figure: ")
}

func TestChoice(t *testing.T) {
	lambda := Slider("lambda", []float64{0, 0.1, 1}, 0.1)
	require.Equal(t, 0.1, lambda.Value())
	require.Equal(t, "lambda: 0.1", lambda.String())
	require.False(t, lambda.choose(1), "it is there already")
	for _, test := range []struct {
		position int
		want     float64
	}{{-1, 0}, {2, 1}, {7, 1}} { // a browser may send anything
		before := lambda.Value()
		lambda.choose(test.position)
		require.Equal(t, before, lambda.Value(), "a drawing is of one value")
		lambda.take()
		require.Equal(t, test.want, lambda.Value())
	}
	require.Equal(t, "a", Select("model", []string{"a", "b"}, "c").Value())
	require.Equal(t, "c", Select("model", nil, "c").Value())

	element := lambda.element("/a")
	for _, want := range []string{`<label style="margin-right:1.5em">lambda `, `>1</output><input type="range" min="0" max="2" value="2" aria-valuetext="1" ` +
		`data-values="[&#34;0&#34;,&#34;0.1&#34;,&#34;1&#34;]" data-address="/a"`} {
		require.Contains(t, element, want)
	}
	require.Equal(t, `<label style="margin-right:1.5em">m <select data-address="/a"><option value="0">a</option><option value="1" selected>&lt;b&gt;</option></select></label>`,
		Select("m", []string{"a", "<b>"}, "<b>").element("/a"))
}

func TestSketches(t *testing.T) {
	lambda := Slider("lambda", []float64{0, 0.1, 1}, 1)
	lambda.choose(0) // not taken
	require.Equal(t, sketch{name: "lambda", value: "1", slider: true, at: 2, of: 3}, lambda.sketch())
	var f Frame
	require.NoError(t, f.sketches([]Control{lambda, Select("model", []string{"a", "b"}, "b")}))
	require.Len(t, f.parts, 2)
	require.Equal(t, "image/png", string(f.parts[0].kind))
	require.Contains(t, f.parts[1].text, "Run the cell in JupyterLab to move them")
	require.NoError(t, new(Frame).sketches(nil))
}

func TestExploreWithoutABrowser(t *testing.T) {
	drawn := 0
	lambda := Slider("lambda", []float64{0, 1}, 1)
	out := printed(t, func() {
		require.NoError(t, Explore(t.Context(), func(_ context.Context, f *Frame) error {
			drawn++
			f.Printf("%v", lambda)
			return nil
		}, lambda))
	})
	require.Equal(t, "lambda: 1\n", out)
	require.Equal(t, 1, drawn)
	require.EqualError(t, Explore(t.Context(), func(context.Context, *Frame) error { return errors.New("no") }), "no")
}

func TestRedraw(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	changes := make(chan struct{}, 1)
	lambda := Slider("lambda", []int{0, 1, 2, 3}, 0)
	var pages []string
	p := &panel{id: "7", controls: []Control{lambda}, update: func(output, page string) { pages = append(pages, output+" "+page) }}
	n := 0
	move := func() { // the browser moves the slider while it draws
		lambda.choose(n)
		changes <- struct{}{}
	}
	draw := func(ctx context.Context, f *Frame) error {
		n++
		computed := lambda.Value()
		switch n {
		case 1, 2:
			move()
		case 3: // Stop while it draws
			stop()
			return fmt.Errorf("drawing: %w", ctx.Err())
		}
		f.Printf("%v, computed with %d", lambda, computed)
		return nil
	}
	last, err := redraw(ctx, draw, changes, p)
	require.NoError(t, err)
	const dimmed = "dimmed_7 <style>#drawn_7{opacity:.35}</style>"
	drawn := func(text string) string {
		return `frame_7 <div id="drawn_7" style="transition:opacity .2s"><p>` + text + "</p></div>"
	}
	require.Equal(t, []string{drawn("lambda: 0, computed with 0"), "dimmed_7 ", dimmed, drawn("lambda: 1, computed with 1"), "dimmed_7 ", dimmed}, pages)
	require.Equal(t, "<p>lambda: 1, computed with 1</p>", last.inPage(), "the last whole one stays")

	_, err = redraw(t.Context(), func(context.Context, *Frame) error { return errors.New("no") }, changes, p)
	require.EqualError(t, err, "no")
}

func TestBar(t *testing.T) {
	var pages []string
	now := time.Unix(0, 0)
	b := &bar{update: func(page string) { pages = append(pages, page) }, now: func() time.Time { return now }}
	b.Add(1) // nothing is under way
	b.Done()
	require.Empty(t, pages)
	b.Start("align <it>", 100)
	b.Add(10) // too soon to be drawn
	now = now.Add(10 * time.Second)
	b.Add(10)
	b.Done()
	b.Start("reading", 0)
	require.Equal(t, []string{
		`<div><progress value="0" max="100"></progress> align &lt;it&gt;: 0 of 100</div>`,
		`<div><progress value="20" max="100"></progress> align &lt;it&gt;: 20 of 100, 40s left</div>`,
		"",
		`<div><progress></progress> reading: 0</div>`,
	}, pages)
}

func TestInterrupt(t *testing.T) {
	ctx := Context()
	require.NoError(t, ctx.Err())
	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, self.Signal(os.Interrupt))
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the context does not end")
	}
	require.Equal(t, "interrupted", message(fmt.Errorf("extract: %w", ctx.Err())))
	require.Equal(t, "a; b", message(errors.New("a\nb")))
}

func TestProgressOutsideANotebook(t *testing.T) {
	require.NotNil(t, Progress())
	require.False(t, strings.Contains(fmt.Sprintf("%T", Progress()), "inline"), "it is the terminal's")
}
