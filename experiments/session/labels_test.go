package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/session"
	"vitdecompose/experiments/tiny"
)

func TestMatchLabels(t *testing.T) {
	birds := []string{"Indigo Bunting", "great_grey-owl", "Crane", "Crane"}
	for _, c := range []struct {
		name     string
		folders  []string
		classes  []string
		num      int
		labels   []int // of the folders
		says     string
		sameData bool
	}{
		{name: "indices already", classes: birds, num: 4, sameData: true},
		{name: "no head", folders: []string{"a"}, num: 0, sameData: true},
		{name: "by name", folders: []string{"Great grey owl", "indigo_bunting"}, classes: birds, num: 4, labels: []int{1, 0}},
		{name: "two folders of a class", folders: []string{"IndigoBunting", "indigo-bunting"}, classes: birds, num: 4, labels: []int{0, 0}},
		{name: "in sorted order", folders: []string{"n01", "n02", "n03", "n04"}, classes: birds, num: 4, sameData: true},
		{name: "in sorted order without names", folders: []string{"n01", "n02"}, num: 2, sameData: true},
		{name: "too few without names", folders: []string{"n01", "n02"}, num: 4, says: "the data has 2 classes, the model has 4 and does not name them"},
		{name: "too few", folders: []string{"n01", "n02"}, classes: birds, num: 4, says: "2 of the data's (n01, n02) are not among the model's"},
		{name: "one is unknown", folders: []string{"a", "b", "c", "indigo bunting"}, classes: birds, num: 4, says: "3 of the data's (a, b, c) "},
		{name: "many are unknown", folders: []string{"a", "b", "c", "d", "e"}, classes: birds, num: 4, says: "5 of the data's (a, b, c, ...) "},
		{name: "a name of two classes", folders: []string{"crane"}, classes: birds, num: 4, says: "the folder crane could be class 2 or class 3 of the model"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ds := tiny.Noise{N: 2 * len(c.folders), ClassNames: c.folders, Label: func(i int) int { return i/2 - 1 }} // -1: unknown
			got, err := session.MatchLabels(ds, "the model", c.classes, c.num)
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
				require.ErrorContains(t, err, "option Labels")
				return
			}
			require.NoError(t, err)
			require.Equal(t, ds.Len(), got.Len())
			if c.sameData {
				require.Equal(t, c.folders, got.Classes())
				for i := range ds.Len() {
					require.Equal(t, ds.Item(i), got.Item(i))
				}
				return
			}
			require.Equal(t, c.classes, got.Classes())
			for i := range ds.Len() {
				want := ds.Item(i)
				if want.Label >= 0 {
					want.Label = c.labels[want.Label]
				}
				require.Equal(t, want, got.Item(i))
			}
		})
	}
}
