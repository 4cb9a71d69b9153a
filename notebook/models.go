package notebook

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"

	"vitdecompose/data"
	"vitdecompose/decompose/phrases"
	"vitdecompose/experiments"
	"vitdecompose/experiments/results"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit/zoo"
	"vitdecompose/plots/inline"
)

// Options say which model it is about, and which pictures; see [session.Options] for all of them.
type Options = session.Options

// Models are one model or several, which are asked the same, with the pictures that they are asked about.
type Models struct {
	options Options
	names   []string
	shared  *shared
}

// shared is what all models of one Open have in common.
type shared struct{ sessions *session.Sessions }

// Open names a model and pictures. They are opened when a cell first asks something, so that a cell which asks nothing costs
// nothing.
func Open(options Options) *Models {
	if options.Model == "" {
		options.Model = session.DefaultModel
	}
	if options.Progress == nil {
		options.Progress = inline.Progress()
	}
	if options.Note == nil {
		options.Note = note
	}
	if options.Warn == nil {
		options.Warn = func(err error) { fmt.Fprintln(os.Stderr, err) }
	}
	return &Models{options: options, names: []string{options.Model}, shared: new(shared)}
}

// With are other models with the same pictures and options.
func (m *Models) With(names ...string) *Models {
	return &Models{options: m.options, names: names, shared: m.shared}
}

// Shipped are the names of the models that come with the project and that experiments are run on.
func Shipped() []string { return zoo.Studied() }

// TrainingScenes name the drawn scenes that the shipped models are aligned on.
const TrainingScenes = session.TrainingScenes

// Reference is the name of the shipped CLIP, which knows the words of drawn scenes.
const Reference = zoo.Reference

// Sessions are the open sessions of the models, in their order, for what this package does not do.
func (m *Models) Sessions() []*session.Session {
	if m.shared.sessions == nil {
		m.shared.sessions = must(session.Several(running(), m.options))
	}
	if len(m.names) == 0 {
		check(fmt.Errorf("there is no model: name one, such as %s", session.DefaultModel))
	}
	return must(m.shared.sessions.All(running(), m.names))
}

// first is the session of the first model.
func (m *Models) first() *session.Session { return m.Sessions()[0] }

// Show says in a line what was opened.
func (m *Models) Show() {
	for _, s := range m.Sessions() {
		backend := must(s.Backend())
		fmt.Printf("%s: %d blocks, %d pictures in %d classes, computed by %s\n",
			s.Name, len(s.Model.Arch.Blocks()), s.Data.Len(), len(s.Data.Classes()), backend.Name())
	}
}

// SavePhotos writes the first n pictures as PNG files into a folder with a sub-folder for each class, and labels.csv into the
// folder: the file of each picture, the index of its class among the model's, and the name of the class.
func (m *Models) SavePhotos(folder string, n int) {
	s := m.first()
	check(s.Pictures().SaveFolder(folder, n))
	labels := results.Table{Header: []string{"file", "label", "name"}}
	for i := range min(n, s.Data.Len()) {
		label := s.Data.Item(i).Label
		class := s.Data.Classes()[label] // SaveFolder has refused pictures without
		labels.Rows = append(labels.Rows, []string{path.Join(class, session.SavedName(i)), strconv.Itoa(label), class})
	}
	check(results.WriteTableAs(folder, "labels.csv", labels))
	fmt.Printf("wrote %d pictures and labels.csv into %s\n", len(labels.Rows), folder)
}

// Feature is something that texts say of pictures, with the texts for its instances.
type Feature = phrases.Feature

// Features are the names of the features that pictures are searched by.
func (m *Models) Features() []string { return must(m.first().FeatureNames()) }

// Feature are some of [Models.Features], with their instances.
func (m *Models) Feature(names ...string) []Feature {
	var all []Feature
	for _, name := range names {
		all = append(all, must(m.first().Feature(name)))
	}
	return all
}

// Fit is how well an alignment fits.
type Fit struct {
	Cosine        float64 // mean cosine similarity of the mapped representation with the reference's embedding
	Orthogonality float64 // mean over the components, 0 for isometries
}

// String is the fit in words.
func (f Fit) String() string {
	return fmt.Sprintf("cosine similarity %s, orthogonality %s", significant(f.Cosine), significant(f.Orthogonality))
}

// Realign reads the components through an alignment with another lambda from now on, trained on from that of the nearest
// anchor; see [session.Session.Realign].
func (m *Models) Realign(lambda float64, anchors ...float64) Fit {
	cosine, orthogonality, err := m.first().Realign(running(), lambda, anchors...)
	check(err)
	return Fit{cosine, orthogonality}
}

// Picture is one picture with what the model says of it.
type Picture struct {
	experiments.Dissection
	Truth   map[string]string // what is known of the picture, by feature; "" where it has none
	session *session.Session
}

// Picture takes one picture apart, by its position in the data.
func (m *Models) Picture(i int) *Picture {
	s := m.first()
	return &Picture{must(experiments.Dissect(running(), s, i)), data.Attributes(s.Data, i), s}
}

// Show shows the picture, its best classes with their logits, and what is known of it.
func (p *Picture) Show() {
	inline.Image(must(p.session.Pictures().Image(p.Dissection.Picture)))
	table := Rows{Header: []string{"class", "logit"}}
	for _, class := range p.Classes[:min(3, len(p.Classes))] {
		table.Add(class.Class, class.Logit)
	}
	table.Show()
	if len(p.Truth) > 0 {
		line := ""
		for _, feature := range slices.Sorted(maps.Keys(p.Truth)) {
			line += fmt.Sprintf(", %s: %s", feature, cmp.Or(p.Truth[feature], "none"))
		}
		fmt.Println("what is in it: " + line[2:])
	}
}

// ShowParts shows the n components that make up most of the representation, and how exactly all of them sum to it.
func (p *Picture) ShowParts(n int) {
	table := Rows{Header: []string{"component", "share"}}
	for _, c := range p.Shares[:min(n, len(p.Shares))] {
		table.Add(c.Component, percent(c.Share))
	}
	table.Show()
	fmt.Printf("the %d largest of %d components; their sum is the representation but for %.0e of it\n", len(table.Rows), len(p.Shares), p.Exactness)
}

// Words puts components of the first model into words: those that vary most from picture to picture first.
func (m *Models) Words(config DescribeConfig) *Found[experiments.Words] {
	first := m.With(m.names[:min(1, len(m.names))]...)
	return ask(first, func(ctx context.Context, s *session.Session, config DescribeConfig) (experiments.Words, error) {
		words, err := experiments.Describe(ctx, s, config)
		slices.SortStableFunc(words.Words, func(a, b experiments.ComponentInWords) int { return cmp.Compare(b.Share, a.Share) })
		return words, err
	}, config, func(all []experiments.Words) experiments.Words { return all[0] })
}

// Texts are the instances of a feature, as texts.
func (m *Models) Texts(feature string) []string { return must(m.first().Feature(feature)).Instances }
