package data_test

import (
	"strings"
	"testing"

	"vitdecompose/data"
	_ "vitdecompose/data/hf"
	_ "vitdecompose/data/imagenet"
	_ "vitdecompose/data/imagenetseg"
	_ "vitdecompose/data/pixelmask"
	_ "vitdecompose/data/voc"
	_ "vitdecompose/data/waterbirds"
)

// TestKinds: every kind says in a line what it reads, and refuses what it cannot use.
func TestKinds(t *testing.T) {
	var names []string
	for _, kind := range data.Kinds() {
		names = append(names, kind.Name)
		if kind.Argument == "" || kind.Help == "" || len(kind.Help) > 90 || strings.Contains(kind.Help+kind.Argument, "\n") {
			t.Errorf("%+v", kind)
		}
		if !data.HasKind(kind.Name) {
			t.Errorf("there is no kind %s", kind.Name)
		}
		_, err := data.Open(kind.Name+":/nowhere/\x1b[2J", data.Options{Labels: "/nowhere/l.csv"})
		if err == nil || !strings.HasPrefix(err.Error(), "data "+kind.Name+`:/nowhere/\x1b[2J: `) {
			t.Errorf("%s: error %q", kind.Name, err)
		}
		if own := strings.Contains(err.Error(), "have their own labels"); own != kind.OwnLabels {
			t.Errorf("%s: error %q with a file of labels", kind.Name, err)
		}
	}
	if got, want := strings.Join(names, " "), "folder hf imagenet imagenet-s imagenet-seg pixelimagenet scenes scenes-birds voc waterbirds"; got != want {
		t.Errorf("the kinds are %s, want %s", got, want)
	}
	if _, err := data.Open(strings.Repeat("x", 100_000), data.Options{}); err == nil || len(err.Error()) > 2100 {
		t.Error("a long name makes a long message")
	}
}
