package decompose_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"vitdecompose/decompose"
)

func TestContributions(t *testing.T) {
	c := tinyContributions()
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(c.Row(1, 2), c.Of(1), c.Sum([]int{0, 1}), c.Sum(nil)[:2]); got != "[1 -1] [1 1 -1 1 1 -1 -1 -1] [3 6 -3 6 3 4 -3 4] [0 0]" {
		t.Errorf("row and sums %s", got)
	}
	for want, change := range map[string]func(*decompose.Contributions){
		"no components": func(c *decompose.Contributions) { c.Components = nil },
		"0 pictures":    func(c *decompose.Contributions) { c.Pictures = 0 },
		"15 numbers":    func(c *decompose.Contributions) { c.Values = c.Values[1:] },
		"the contribution of b to picture 1 is not finite (NaN)":  func(c *decompose.Contributions) { c.Values[10] = float32(math.NaN()) },
		"the contribution of a to picture 3 is not finite (-Inf)": func(c *decompose.Contributions) { c.Values[7] = float32(math.Inf(-1)) },
	} {
		c := tinyContributions()
		change(c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
