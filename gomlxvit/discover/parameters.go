package discover

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
)

// GoMLX tells of a node's parameters (the permutation of a transpose, the limits of a slice) only in its description, which
// is read here. What cannot be read is unknown, and never guessed.

var listPattern = regexp.MustCompile(`([A-Za-z]+)=\[([-0-9 ]*)\]`)

// lists are the parameters of a node that are lists of integers.
func lists(n *graph.Node) map[string][]int {
	if n.Type() == graph.NodeTypeConstant { // its description is its value
		return nil
	}
	found := make(map[string][]int)
	for _, match := range listPattern.FindAllStringSubmatch(n.String(), -1) {
		values := []int{}
		for _, field := range strings.Fields(match[2]) {
			v, err := strconv.Atoi(field)
			if err != nil {
				values = nil
				break
			}
			values = append(values, v)
		}
		if values != nil {
			found[match[1]] = values
		}
	}
	return found
}

var axisPattern = regexp.MustCompile(`axis=(-?\d+)`)

// axisOf is the parameter axis of a concatenation or a softmax, counted from 0; -1 if it cannot be read.
func axisOf(n *graph.Node) int {
	match := axisPattern.FindStringSubmatch(n.String())
	if match == nil {
		return -1
	}
	axis, err := strconv.Atoi(match[1])
	if err != nil {
		return -1
	}
	if axis < 0 {
		axis += n.Rank()
	}
	return axis
}

// product are the parameters of a DotGeneral.
type product struct{ contract, batch [2][]int }

func productOf(n *graph.Node) product {
	l := lists(n)
	return product{
		contract: [2][]int{l["lhsContractingAxes"], l["rhsContractingAxes"]},
		batch:    [2][]int{l["lhsBatchAxes"], l["rhsBatchAxes"]},
	}
}

// free are the axes of an operand that are neither contracted nor batch axes.
func (p product) free(operand, rank int) []int {
	taken := make(map[int]bool)
	for _, axis := range p.contract[operand] {
		taken[axis] = true
	}
	for _, axis := range p.batch[operand] {
		taken[axis] = true
	}
	var axes []int
	for axis := range rank {
		if !taken[axis] {
			axes = append(axes, axis)
		}
	}
	return axes
}

var (
	inputChannelsPattern = regexp.MustCompile(`InputChannels:(\d+)`)
	kernelSpatialPattern = regexp.MustCompile(`KernelSpatial:\[([0-9 ]*)\]`)
)

// convChannelAxis is the axis of a convolution's input that holds channels, -1 if it cannot be read.
func convChannelAxis(n *graph.Node) int {
	if match := inputChannelsPattern.FindStringSubmatch(n.String()); match != nil {
		if axis, err := strconv.Atoi(match[1]); err == nil {
			return axis
		}
	}
	return -1
}

// kernelSpatial are the axes of a convolution's kernel that are positions.
func kernelSpatial(n *graph.Node) []int {
	match := kernelSpatialPattern.FindStringSubmatch(n.String())
	if match == nil {
		return nil
	}
	axes := []int{}
	for _, field := range strings.Fields(match[1]) {
		axis, err := strconv.Atoi(field)
		if err != nil || axis >= n.Inputs()[1].Rank() {
			return nil
		}
		axes = append(axes, axis)
	}
	return axes
}
