package gomlxvit

import (
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
)

// ErrNotFinite is that of [CheckFinite].
var ErrNotFinite = errors.New("is not finite")

// CheckFinite looks through what a model computed of a batch, [picture, ...] in float32, for numbers that are infinite or
// none; what names it in the error ("logits"). A model whose weights or pictures overflow gives such numbers, and whatever
// is counted with them is wrong without a sign of it.
func CheckFinite(what string, output *tensors.Tensor) error {
	numbers, err := tensors.CopyFlatData[float32](output)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	pictures := 1
	if output.Rank() > 0 {
		pictures = output.Shape().Dim(0)
	}
	return CheckNumbers(what, numbers, pictures)
}

// CheckNumbers is [CheckFinite] for numbers [picture, ...] that have been read already.
func CheckNumbers(what string, numbers []float32, pictures int) error {
	at := notFinite(numbers)
	if at < 0 {
		return nil
	}
	picture := at / (len(numbers) / max(pictures, 1))
	return fmt.Errorf("%s of picture %d of the batch %w (%v): the weights or the picture's pixels are too large for float32; check the checkpoint, and mean and std in its configuration",
		what, picture, ErrNotFinite, numbers[at])
}

// represents is what architectures have that say what their representation is.
type represents interface{ represents() string }

// RepresentationOf says in words what the representation of an architecture is, for results and messages.
func RepresentationOf(arch Architecture) string {
	if r, ok := arch.(represents); ok {
		return r.represents()
	}
	return "the input of the head"
}

func (l linearHead) represents() string { return RepresentationOf(l.Architecture) }
func (z zeroShot) represents() string   { return RepresentationOf(z.Architecture) }

func (c *ViTConfig) represents() string {
	what := "the class token"
	if c.AveragePool {
		what = "the mean of the patch tokens"
	}
	if c.AttentionPool.Heads > 0 {
		what = "what the pooling attention reads and its MLP adds,"
	}
	if c.Beside == BesidePatches {
		what = "the class token and the mean of the patch tokens side by side,"
	} else if c.Beside == BesideSecond {
		what = "the class token and the distillation token side by side,"
	}
	switch {
	case c.PoolNorm:
		what += ", normalised after pooling"
	case c.AttentionPool.Heads > 0:
	case c.FinalNorm:
		what += " after the last norm"
	}
	if c.Projection > 0 {
		what += ", projected into the space of pictures and texts"
	}
	return what
}

func (c *SwinConfig) represents() string { return "the mean of the tokens after the last norm" }

// The hidden layer of a head ends with a tanh, through which contributions do not add up: what timm calls pre_logits has no
// exact decomposition.
func (c *MaxxViTConfig) represents() string {
	if c.HeadHidden == 0 {
		return "the mean of the tokens after the last norm"
	}
	return "the mean of the last stage's tokens, before the head's norm, projection and tanh (timm's pre_logits are behind these, and no sum of contributions)"
}
