package gomlxvit

import (
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/checkpoint"
)

// FeatureMap gives the tokens [batch, token, dim] that the representation of an architecture with stages is the mean of.
func FeatureMap(arch Architecture, w Weights, pixels *graph.Node) *graph.Node {
	return arch.(interface {
		features(w Weights, pixels *graph.Node) *graph.Node
	}).features(w, pixels)
}

// Stem gives the tokens [batch, token, dim] after the stem of a MaxViT or CoAtNet.
func (c *MaxxViTConfig) Stem(w Weights, pixels *graph.Node) *graph.Node { return c.stem(w, pixels) }

// Shift describes the windows of a Swin's block: their side and how far they are shifted.
func (c *SwinConfig) Shift(stage, index int) (side, size, shift int) {
	for _, b := range c.Blocks() {
		if b.Stage == stage && b.Index == index {
			g := c.windows(b)
			return g.side, g.size, g.shift
		}
	}
	return 0, 0, 0
}

// WithTextTower loads a model with its text tower and without a tokenizer.
func WithTextTower(ckpt *checkpoint.Checkpoint) (*Model, error) {
	m, err := FromCheckpoint(ckpt, Options{})
	if err != nil {
		return nil, err
	}
	stored := newStoredTensors(ckpt.Weights)
	_, tower, err := architectureOf(ckpt, stored)
	if err != nil {
		return nil, err
	}
	stored.reshape(logitScale)
	stored.reshape(logitBias)
	return m, m.loadTextTower(stored, tower)
}
