package decompose

import (
	"fmt"
	"math"
)

// Contributions are what some components contributed to some pictures, as cached or mapped to another space.
type Contributions struct {
	Components    []string // their names
	Pictures, Dim int
	Values        []float32 // [component, picture, dim]
}

// Row is what a component contributed to a picture, dim numbers. It is not a copy.
func (c *Contributions) Row(component, picture int) []float32 {
	return c.Values[(component*c.Pictures+picture)*c.Dim:][:c.Dim]
}

// Of is what a component contributed to all pictures, rows [picture, dim]. It is not a copy.
func (c *Contributions) Of(component int) []float32 {
	size := c.Pictures * c.Dim
	return c.Values[component*size:][:size]
}

// Check tells what is wrong, if anything is: sizes that do not fit together, a number that is not finite.
func (c *Contributions) Check() error {
	switch {
	case len(c.Components) == 0:
		return fmt.Errorf("there are no components")
	case c.Pictures < 1 || c.Dim < 1:
		return fmt.Errorf("there are no contributions: %d pictures of %d numbers", c.Pictures, c.Dim)
	case len(c.Values) != len(c.Components)*c.Pictures*c.Dim:
		return fmt.Errorf("%d numbers for %d components x %d pictures x %d", len(c.Values), len(c.Components), c.Pictures, c.Dim)
	}
	for i, v := range c.Values {
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			row := i / c.Dim
			return fmt.Errorf("the contribution of %s to picture %d is not finite (%v)", c.Components[row/c.Pictures], row%c.Pictures, v)
		}
	}
	return nil
}

// Total adds the contributions of all components: [picture, dim].
func (c *Contributions) Total() []float32 { return c.Sum(upTo(len(c.Components))) }

// upTo lists 0 to n-1.
func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// Sum adds the contributions of some components, given by index: [picture, dim].
func (c *Contributions) Sum(components []int) []float32 {
	sums := make([]float64, c.Pictures*c.Dim)
	for _, component := range components {
		for i, v := range c.Of(component) {
			sums[i] += float64(v)
		}
	}
	out := make([]float32, len(sums))
	for i, v := range sums {
		out[i] = float32(v)
	}
	return out
}
