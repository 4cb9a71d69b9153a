package zoo

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
)

// distillation is self-distillation without labels, DINO (Caron et al. 2021,
// arXiv 2104.14294): a student that sees any view of an individual learns to say
// what its teacher says of another view; the teacher is the moving average of
// the student, and its outputs are centred, so that they do not become all the
// same. With masked patches it is DINOv2's objective (Oquab et al. 2023, arXiv
// 2304.07193): the student also says of patches that it does not see what the
// teacher says of them (iBOT).
//
// Two views of 64 x 64 are drawn of each individual, which differ in light and
// pose and mostly in colour, pattern and place; a local view is cut out of each.
// Student and teacher never see the same drawing, or colours would be all they had
// to know. At first, when the teacher knows nothing yet, the student is also told
// to tell the individuals of a batch apart (InfoNCE, van den Oord et al. 2018,
// arXiv 1807.03748), with a weight that falls to nothing. No label goes into the
// weights: a linear probe reads the representation to report how training goes,
// and its gradient ends there.
type distillation struct {
	arch   *gomlxvit.ViTConfig
	masked float64 // share of a global view's patches that the student does not see
}

const (
	localSide   = 32 // pixels
	prototypes  = 256
	headHidden  = 192
	bottleneck  = 64
	studentTemp = 0.1
	sharpness   = 2.5  // of the teacher: 1/temperature, in deviations of its logits
	centreRate  = 0.9  // of the old centre in the new one
	momentum    = 0.99 // of the old teacher in the new one at first; rises to 1
	keepChance  = 30   // percent, of a colour, pattern or place to be the same in both views
	apartUntil  = 0.8  // share of the training after which individuals are not told apart any more
	apartTemp   = 0.1
)

func (d distillation) String() string {
	return fmt.Sprintf("self-distillation: %d prototypes, momentum %v, %v of the patches masked, %d %% of colours, patterns, places kept between views, InfoNCE fading out until %v",
		prototypes, momentum, d.masked, keepChance, apartUntil)
}

func (d distillation) extra() []gomlxvit.Param {
	width := d.arch.OutputDim()
	params := []gomlxvit.Param{
		{Name: "distillation.0.weight", Dims: []int{headHidden, width}}, {Name: "distillation.0.bias", Dims: []int{headHidden}},
		{Name: "distillation.1.weight", Dims: []int{headHidden, headHidden}}, {Name: "distillation.1.bias", Dims: []int{headHidden}},
		{Name: "distillation.2.weight", Dims: []int{bottleneck, headHidden}}, {Name: "distillation.2.bias", Dims: []int{bottleneck}},
		{Name: "distillation.prototypes.weight", Dims: []int{prototypes, bottleneck}},
		{Name: "probe.weight", Dims: []int{len(scenes.Classes), width}}, {Name: "probe.bias", Dims: []int{len(scenes.Classes)}},
	}
	if d.masked > 0 {
		params = append(params, gomlxvit.Param{Name: maskToken, Dims: []int{1, d.arch.Width}})
	}
	return params
}

// teacher and centre are the memory: the centre of what the teacher says of
// pictures and, with masked patches, of patches.
func (d distillation) memory(weights []float32) []value {
	values := []value{vector("teacher", append([]float32(nil), weights...)), vector("centre", make([]float32, prototypes))}
	if d.masked > 0 {
		values = append(values, vector("patch_centre", make([]float32, prototypes)))
	}
	return values
}

// result is the teacher, as usual: it is better than the student.
func (d distillation) result() string { return "teacher" }

func (distillation) scored() string { return "of a linear probe that trains along" }

// draw draws the views of a step: first and second global views as one tensor
// [2*batch, 64, 64, 3], local ones [2*batch, 32, 32, 3], labels [batch]
// and, with masked patches, the mask [2*batch, patch].
func (d distillation) draw(r *Recipe, step int) []*tensors.Tensor {
	const localBytes = localSide * localSide * 3
	patches := d.arch.Grid() * d.arch.Grid()
	global, local := make([]uint8, 2*r.Batch*pictureBytes), make([]uint8, 2*r.Batch*localBytes)
	labels, mask := make([]int32, r.Batch), make([]uint8, 2*r.Batch*patches)
	each(r.Batch, func(i int) {
		seed, index := scenes.TrainSeeds+r.Seed, uint64(step*r.Batch+i)
		first := scenes.Draw(seed, index)
		labels[i] = int32(first.Class)
		random := rand.New(rand.NewPCG(seed, index))
		other := scenes.Sample(seed, index|1<<47)
		for _, same := range []struct{ to, from *string }{
			{&other.Colour, &first.Colour}, {&other.Pattern, &first.Pattern}, {&other.Place, &first.Place},
		} {
			if random.IntN(100) < keepChance {
				*same.to = *same.from
			}
		}
		for view, scene := range []*scenes.Scene{first, scenes.DrawAgain(other, seed, index, 0)} {
			// Coats fade in first, then places.
			fade(scene, 2*r.visible(step)-1, 2*r.visible(step))
			at := view*r.Batch + i
			copy(global[at*pictureBytes:], scene.Pix)
			cut(local[at*localBytes:][:localBytes], scene.Pix, random.IntN(scenes.Size-localSide+1), random.IntN(scenes.Size-localSide+1))
			for p := range patches {
				if random.Float64() < d.masked {
					mask[at*patches+p] = 1
				}
			}
		}
	})
	inputs := []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(global, 2*r.Batch, scenes.Size, scenes.Size, 3),
		tensors.FromFlatDataAndDimensions(local, 2*r.Batch, localSide, localSide, 3),
		tensors.FromFlatDataAndDimensions(labels, r.Batch),
	}
	if d.masked > 0 {
		inputs = append(inputs, tensors.FromFlatDataAndDimensions(mask, 2*r.Batch, patches))
	}
	return inputs
}

// cut copies the local view with its corner at (x, y) out of a scene's pixels.
func cut(to, pix []uint8, x, y int) {
	for row := range localSide {
		copy(to[row*localSide*3:][:localSide*3], pix[((y+row)*scenes.Size+x)*3:])
	}
}

func (d distillation) loss(in lesson) outcome {
	batch := in.inputs[2].Shape().Dim(0)
	_, teacher := in.layout.nodes(in.memory[0])
	global, local := normalise(in.inputs[0]), normalise(in.inputs[1])
	var masked *graph.Node
	if d.masked > 0 {
		masked = graph.ConvertDType(in.inputs[3], dtypes.Float32)
	}

	said := d.arch.Features(teacher, global, nil)                          // [2*batch, token, width]
	heard := d.arch.Features(in.weights, global, mask(in.weights, masked)) // the same of the student
	small := localView(d.arch, localSide/d.arch.PatchSize)                 // sees 1/4 of the picture
	saidClass, heardClass := classToken(said), classToken(heard)
	localClass := classToken(small.Features(localWeights(d.arch, in.weights, localSide/d.arch.PatchSize), local, nil))

	teacherLogits := cosines(teacher, project(teacher, saidClass))
	target := sharpen(teacherLogits, in.memory[1]) // [2*batch, prototype]
	students := project(in.weights, graph.Concatenate([]*graph.Node{heardClass, localClass}, 0))
	spoken := graph.LogSoftmax(graph.MulScalar(cosines(in.weights, students), 1/studentTemp), -1)
	part := func(x *graph.Node, i int) *graph.Node {
		return graph.SliceAxis(x, 0, graph.AxisRange(i*batch, (i+1)*batch))
	}
	// Rows of students: first, second, local of first, local of second.
	var loss *graph.Node
	for _, pair := range [][2]int{{0, 1}, {0, 3}, {1, 0}, {1, 2}} {
		term := graph.MulScalar(graph.ReduceAllMean(entropy(part(target, pair[0]), part(spoken, pair[1]))), 0.25)
		if loss == nil {
			loss = term
		} else {
			loss = graph.Add(loss, term)
		}
	}
	apart, _ := matching(graph.MulScalar(graph.Einsum("id,jd->ij", part(students, 0), part(students, 1)), 1/apartTemp))
	weight := graph.MaxScalar(graph.OneMinus(graph.MulScalar(in.done, 1/apartUntil)), 0)
	loss = graph.Add(loss, graph.Mul(apart, weight))

	var patchLogits *graph.Node
	if d.masked > 0 {
		patchLogits = cosines(teacher, project(teacher, patchTokens(said)))
		guess := graph.LogSoftmax(graph.MulScalar(cosines(in.weights, project(in.weights, patchTokens(heard))), 1/studentTemp), -1)
		missed := entropy(sharpen(patchLogits, in.memory[2]), guess) // [2*batch*patch]
		hidden := graph.Reshape(masked, masked.Shape().Size())
		missed = graph.Div(graph.ReduceAllSum(graph.Mul(missed, hidden)), graph.AddScalar(graph.ReduceAllSum(hidden), 1))
		loss = graph.Add(loss, missed)
	}

	probed := graph.StopGradient(part(saidClass, 0))
	probe := graph.Einsum("bd,cd->bc", probed, in.weights.Get("probe.weight"))
	probe = graph.Add(probe, graph.InsertAxes(in.weights.Get("probe.bias"), 0))
	probeLoss, accuracy := crossEntropy(probe, in.inputs[2], 0)

	return outcome{
		loss: graph.Add(loss, probeLoss), score: accuracy,
		remember: func(weights *graph.Node) []*graph.Node {
			// The weight of the student falls from 1 - momentum to 0 along a cosine.
			share := graph.MulScalar(graph.AddScalar(graph.Cos(graph.MulScalar(in.done, math.Pi)), 1), (1-momentum)/2)
			kept := []*graph.Node{graph.Add(in.memory[0], graph.Mul(graph.Sub(weights, in.memory[0]), share))}
			for i, logits := range []*graph.Node{teacherLogits, patchLogits} {
				if logits != nil {
					kept = append(kept, graph.Add(graph.MulScalar(in.memory[1+i], centreRate),
						graph.MulScalar(graph.ReduceMean(logits, 0), 1-centreRate)))
				}
			}
			return kept
		},
	}
}

// classToken takes the first of tokens [batch, token, width].
func classToken(tokens *graph.Node) *graph.Node {
	return graph.Squeeze(graph.SliceAxis(tokens, 1, graph.AxisElem(0)), 1)
}

// patchTokens takes the others, as [batch*patch, width].
func patchTokens(tokens *graph.Node) *graph.Node {
	batch, n, width := tokens.Shape().Dim(0), tokens.Shape().Dim(1), tokens.Shape().Dim(2)
	return graph.Reshape(graph.SliceAxis(tokens, 1, graph.AxisRange(1, n)), batch*(n-1), width)
}

// project is DINO's head but for the last layer: three layers from
// representations [row, width] to [row, bottleneck] of length 1.
func project(w gomlxvit.Weights, x *graph.Node) *graph.Node {
	for i := range 3 {
		name := fmt.Sprintf("distillation.%d", i)
		x = graph.Einsum("rd,od->ro", x, w.Get(name+".weight"))
		x = graph.Add(x, graph.InsertAxes(w.Get(name+".bias"), 0))
		if i < 2 {
			x = graph.Mul(x, graph.Sigmoid(graph.MulScalar(x, 1.702)))
		}
	}
	return unit(x)
}

// cosines are the logits [row, prototype] of what project gives.
func cosines(w gomlxvit.Weights, projected *graph.Node) *graph.Node {
	return graph.Einsum("rd,pd->rp", projected, unit(w.Get("distillation.prototypes.weight")))
}

// unit scales rows to length 1.
func unit(x *graph.Node) *graph.Node {
	square := graph.ReduceAndKeep(graph.Square(x), graph.ReduceSum, -1)
	return graph.Div(x, graph.Sqrt(graph.AddScalar(square, 1e-12)))
}

// sharpen makes of the teacher's logits [row, prototype] what the student shall
// say. The temperature is relative to how far they spread, so that there is
// something to learn from the first step, when all pictures look alike.
func sharpen(logits, centre *graph.Node) *graph.Node {
	centred := graph.Sub(logits, graph.InsertAxes(centre, 0))
	spread := graph.Sqrt(graph.AddScalar(graph.ReduceAllMean(graph.Square(centred)), 1e-12))
	return graph.StopGradient(graph.Softmax(graph.MulScalar(graph.Div(centred, spread), sharpness), -1))
}

// entropy is the cross entropy [row] of targets and logarithms of probabilities,
// both [row, prototype].
func entropy(target, logProbability *graph.Node) *graph.Node {
	return graph.Neg(graph.ReduceSum(graph.Mul(target, logProbability), -1))
}
