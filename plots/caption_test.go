package plots

import (
	"os"
	"path/filepath"
	"testing"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

func TestCaption(t *testing.T) {
	for _, test := range []struct {
		caption     Caption
		text, latex string
	}{
		{Caption{}, "", `\caption{}`},
		{Caption{"A title", nil}, "A title.", `\caption[A title]{A title.}`},
		{Caption{"", []string{"One.", "Two."}}, "One. Two.", `\caption{One. Two.}`},
		{Caption{"Of “a_b” [1]", []string{`50 % & more: {x} < y, $ # ^ ~ | \\ W'W – "q".`}},
			`Of “a_b” [1]. 50 % & more: {x} < y, $ # ^ ~ | \\ W'W – "q".`,
			"\\caption[Of ``a\\_b'' {[}1{]}]{Of ``a\\_b'' {[}1{]}. 50 \\% \\& more: \\{x\\} \\textless{} y, \\$ \\# \\textasciicircum{} " +
				"\\textasciitilde{} \\textbar{} \\textbackslash{}\\textbackslash{} W'W -- ''q''.}"},
	} {
		if got := test.caption.String(); got != test.text {
			t.Errorf("text %s, want %s", got, test.text)
		}
		if got := test.caption.LaTeX(); got != test.latex {
			t.Errorf("LaTeX %s, want %s", got, test.latex)
		}
	}
}

// titledFigure is a figure of nothing with a caption.
type titledFigure struct{}

func (titledFigure) Draw(draw.Canvas) {}

func (titledFigure) Caption() Caption { return Caption{"100 %", []string{"All of it."}} }

func TestSaveWritesCaptions(t *testing.T) {
	base := filepath.Join(t.TempDir(), "figure")
	if err := Save(titledFigure{}, base, vg.Inch, vg.Inch); err != nil {
		t.Fatal(err)
	}
	for extension, want := range map[string]string{".txt": "100 %. All of it.\n", ".tex": "\\caption[100 \\%]{100 \\%. All of it.}\n"} {
		got, err := os.ReadFile(base + extension)
		if err != nil || string(got) != want {
			t.Errorf("%s is %q, error %v, want %q", extension, got, err, want)
		}
	}
}

func TestCounts(t *testing.T) {
	for want, numbers := range map[string][]int{"1 picture": {1}, "7 pictures": {7, 7}, "between 3 and 9 pictures": {9, 3, 5}} {
		if got := counts(numbers, "picture"); got != want {
			t.Errorf("%v: %s, want %s", numbers, got, want)
		}
	}
}
