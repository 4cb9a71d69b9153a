package zoo

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/tokenizer"
)

// contrastive training is CLIP's (Radford et al. 2021, arXiv 2103.00020): each
// picture of a batch shall be nearest to its own caption, and each caption to its
// own picture. The inputs of a step are pixels [batch, height, width, 3] as bytes
// and token ids [batch, position]; where traits are read out, their labels [batch,
// trait] too.
type contrastive struct {
	memoryless
	arch      gomlxvit.Architecture
	text      *gomlxvit.TextTower
	tokenizer *tokenizer.Tokenizer
	traits    traitReadouts
}

func (c contrastive) String() string {
	return fmt.Sprintf("contrastive on captions of a vocabulary of %d, scenes of two colours, patterns and places but for every %dth step%v",
		c.text.VocabSize, mixedEvery, c.traits)
}

func (c contrastive) extra() []gomlxvit.Param {
	return append(c.text.Params(), c.traits.params(c.arch.OutputDim())...)
}

func (contrastive) scored() string { return "of the captions of a batch" }

func (c contrastive) draw(r *Recipe, step int) []*tensors.Tensor {
	length := c.text.ContextLength
	seed := scenes.TrainSeeds + r.Seed
	alike := rand.New(rand.NewPCG(seed, uint64(step)))
	colours, patterns, placesOf := choose(scenes.Colours, alike), choose(scenes.Patterns, alike), choose(scenes.Places, alike)
	pixels, tokens, shown := make([]uint8, r.Batch*pictureBytes), make([]int32, r.Batch*length), make([]int32, r.Batch*len(traits))
	each(r.Batch, func(i int) {
		index := uint64(step*r.Batch + i)
		spec := scenes.Sample(seed, index)
		if step%mixedEvery > 0 {
			spec.Colour, spec.Pattern, spec.Place = colours[i%2], patterns[i/2%2], placesOf[i/4%2]
		}
		scene := scenes.DrawSpec(spec, seed, index)
		if i%16 < 8 { // the others show their places from the first step
			fade(scene, r.visible(step), 1)
		}
		copy(pixels[i*pictureBytes:], scene.Pix)
		ids, _ := c.tokenizer.Tokens(scene.Caption, length)
		copy(tokens[i*length:], ids)
		c.traits.label(shown[i*len(traits):], spec, step >= r.Restart)
	})
	inputs := []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(pixels, r.Batch, scenes.Size, scenes.Size, 3),
		tensors.FromFlatDataAndDimensions(tokens, r.Batch, length),
	}
	if c.traits.weight > 0 {
		inputs = append(inputs, tensors.FromFlatDataAndDimensions(shown, r.Batch, len(traits)))
	}
	return inputs
}

// mixedEvery is how many steps there are to one whose scenes are not alike.
const mixedEvery = 4

// choose takes two of the words. A batch whose scenes have two colours, two
// patterns and two places between them cannot be told apart by these alone: the
// captions' classes have to be learnt too.
func choose(words []string, r *rand.Rand) [2]string {
	order := r.Perm(len(words))
	return [2]string{words[order[0]], words[order[1]]}
}

func (c contrastive) loss(in lesson) outcome {
	images := c.arch.Representation(in.weights, normalise(in.inputs[0]))
	texts := c.text.Embedding(in.weights, in.inputs[1])
	logits := gomlxvit.CosineLogits(in.weights, images, texts)
	loss, accuracy := matching(logits)
	if c.traits.weight > 0 {
		loss = graph.Add(loss, c.traits.loss(in.weights, images, in.inputs[2]))
	}
	return outcome{loss: loss, score: accuracy}
}

// matching is the mean loss of finding in both directions, for each row of logits
// [n, n] its column and for each column its row, where i belongs to i. It also
// returns the share of the rows that find theirs.
func matching(logits *graph.Node) (loss, accuracy *graph.Node) {
	own := graph.Iota(logits.Graph(), shapes.Make(dtypes.Int32, logits.Shape().Dim(0)), 0)
	there, accuracy := crossEntropy(logits, own, 0)
	back, _ := crossEntropy(graph.Transpose(logits, 0, 1), own, 0)
	return graph.MulScalar(graph.Add(there, back), 0.5), accuracy
}

// vocabularyCaptions is how many captions the vocabulary is learnt from,
// vocabularyMerges how many merges it has at most: enough for every word of the
// captions to be one token.
const (
	vocabularyCaptions = 20_000
	vocabularyMerges   = 600
)

// vocabulary makes the tokenizer.json of the zoo's CLIPs. Words of the default
// templates are in it too.
var vocabulary = sync.OnceValues(func() ([]byte, error) {
	var texts []string
	for i := range uint64(vocabularyCaptions) {
		texts = append(texts, scenes.Caption(scenes.TrainSeeds, i))
	}
	for _, template := range gomlxvit.DefaultTemplates() {
		texts = append(texts, string(template), string(template)) // a word that occurs once makes no merge
	}
	return tokenizer.Learn(texts, vocabularyMerges)
})
