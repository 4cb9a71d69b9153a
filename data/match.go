package data

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"

	"vitdecompose/data/printable"
	"vitdecompose/data/wnid"
)

// MatchLabels maps the labels of a data set to the classes of a model, given their number and perhaps their names; named
// is what messages call it. Labels from a file are class indices already (the data set has no class names then), and so are
// those of an [Indexed] data set for models with as many classes. Else [MatchClasses] says what the data set's classes are.
// The assumptions are a line for each thing that was concluded and not known.
func MatchLabels(ds Dataset, named string, classes []string, n int) (matched Dataset, assumptions []string, err error) {
	folders := ds.Classes()
	if len(folders) == 0 || n == 0 || HasIndexedLabels(ds) && len(folders) == n {
		return ds, nil, nil
	}
	labels, assumptions, err := MatchClasses(folders, named, classes, n)
	if err != nil {
		return nil, nil, printable.Error(err)
	}
	for i, line := range assumptions {
		assumptions[i] = printable.Text(line, printable.Most)
	}
	if len(classes) == 0 { // the folders are the only names that there are
		classes = make([]string, n)
		for class := range classes {
			classes[class] = strconv.Itoa(class)
		}
		for i, label := range labels {
			classes[label] = folders[i]
		}
	}
	return relabelled{ds, labels, classes}, assumptions, nil
}

// MatchClasses finds for each class of a data set, which is called after its folder, the class of a model that it is. Of
// these rules the first that fits counts:
//
//  1. The folders are called as classes of the model are.
//  2. All are numbers, or numbers after one word such as "class": class indices; from 1 on where they begin at 1.
//  3. All are WordNet ids: the classes of ImageNet-1k, in its order for a model of 1000 classes and those of its larger sets for
//     models of their sizes ([wnid.OfSize]), else found by their words.
//  4. Their names are the model's but for case, spaces, underscores and hyphens, or are a synonym of one of them.
//  5. The model's classes have no names, and there are as many folders: the natural order ignoring case, as timm counts.
//
// All but the first are reported as assumptions. What no rule fits is an error, and so is a name that two classes share.
func MatchClasses(folders []string, named string, classes []string, n int) (labels []int, assumptions []string, err error) {
	if placeholders(classes) {
		classes = nil
	}
	if labels := exactly(folders, classes); labels != nil {
		return labels, nil, nil
	}
	for _, rule := range []func(folders []string, named string, classes []string, n int) ([]int, []string, error){byNumber, byWordNet, byName} {
		if labels, assumptions, err = rule(folders, named, classes, n); labels != nil || err != nil {
			return labels, assumptions, err
		}
	}
	if len(folders) != n {
		return nil, nil, fmt.Errorf("the data has %d classes, %s has %d and does not name them; %s, or the names of the model's classes",
			len(folders), named, n, giveLabels)
	}
	return inOrder(folders, named)
}

const giveLabels = "give the labels in a CSV file (columns file,label)"

var placeholder = regexp.MustCompile(`(?i)^(?:label|class)?[ _-]?(\d+)$`)

// placeholders reports whether the names are but numbers: class i is called i, or LABEL_i.
func placeholders(classes []string) bool {
	for i, name := range classes {
		if match := placeholder.FindStringSubmatch(name); match == nil || match[1] != strconv.Itoa(i) {
			return false
		}
	}
	return true
}

// exactly finds folders that are called as the classes are, to the letter; nil if not all are, or a name is there twice.
func exactly(folders, classes []string) []int {
	index := map[string]int{}
	for i, name := range classes {
		if _, twice := index[name]; twice {
			return nil
		}
		index[name] = i
	}
	labels := make([]int, len(folders))
	for i, folder := range folders {
		label, ok := index[folder]
		if !ok {
			return nil
		}
		labels[i] = label
	}
	return labels
}

var numbered = regexp.MustCompile(`(?i)^((?:class|cls|label|category|cat|id)?[ _-]*)(\d{1,9})$`)

// byNumber finds folders that are numbers.
func byNumber(folders []string, named string, _ []string, n int) ([]int, []string, error) {
	labels := make([]int, len(folders))
	word := ""
	byLabel := map[int]string{}
	for i, folder := range folders {
		match := numbered.FindStringSubmatch(folder)
		if match == nil || i > 0 && !strings.EqualFold(match[1], word) {
			return nil, nil, nil
		}
		word = match[1]
		labels[i], _ = strconv.Atoi(match[2]) // nine digits at most
		if other, twice := byLabel[labels[i]]; twice {
			return nil, nil, fmt.Errorf("the folders %s and %s stand for the same number; %s", other, folder, giveLabels)
		}
		byLabel[labels[i]] = folder
	}
	first, last := slices.Min(labels), slices.Max(labels)
	switch {
	case last > n || last == n && first == 0:
		return nil, nil, fmt.Errorf("the folder %s is not a class of %s, which has %d, from 0 to %d; %s", byLabel[last], named, n, n-1, giveLabels)
	case last == n || first == 1 && last == len(labels):
		for i := range labels {
			labels[i]--
		}
		return labels, []string{fmt.Sprintf("the folders %s to %s are class numbers from 1 on: %s is the first class of %s",
			byLabel[first], byLabel[last], byLabel[first], named)}, nil
	case first == 1:
		return nil, nil, fmt.Errorf("the folders are numbers from %s to %s, which may count the %d classes of %s from 0 or from 1; %s",
			byLabel[first], byLabel[last], n, named, giveLabels)
	}
	line := fmt.Sprintf("the folders %s to %s are class indices of %s, from 0 on", byLabel[first], byLabel[last], named)
	if first != 0 || last != len(labels)-1 {
		line += fmt.Sprintf("; timm and torchvision would number these %d folders from 0 on in their order", len(labels))
	} else if at, ok := torchvisionDiffers(folders, labels); ok {
		line += fmt.Sprintf("; in torchvision's order %s would be class %d", folders[at], slices.Index(codePoints(folders), folders[at]))
	}
	return labels, []string{line}, nil
}

// byWordNet finds folders that are called by WNIDs.
func byWordNet(folders []string, named string, classes []string, n int) ([]int, []string, error) {
	for _, folder := range folders {
		if !wnid.Valid(folder) {
			return nil, nil, nil
		}
	}
	labels := make([]int, len(folders))
	subset, sized := wnid.OfSize(n)
	known := len(classes) > 0
	if sized {
		other := slices.IndexFunc(folders, func(folder string) bool { _, ok := subset.Index(folder); return !ok })
		switch {
		case other < 0:
			for i, folder := range folders {
				labels[i], _ = subset.Index(folder)
			}
			return labels, []string{fmt.Sprintf("the folders are WordNet ids, taken as the classes of %s in the order of these ids", subset.Name)}, nil
		case !known && len(folders) == n:
			return inOrder(folders, named)
		case !known || n == len(wnid.ImageNet1k()):
			return nil, nil, fmt.Errorf("the folder %s is a WordNet id, but not one of %s's; %s", folders[other], subset.Name, giveLabels)
		}
	}
	words := synonyms(classes)
	for i, folder := range folders {
		class, ok := wnid.Index(folder)
		if !ok {
			if !known && len(folders) == n {
				return inOrder(folders, named)
			}
			return nil, nil, fmt.Errorf("the folder %s is a WordNet id, but not one of ImageNet-1k's; %s", folder, giveLabels)
		}
		switch {
		case !known && len(folders) == n:
			return inOrder(folders, named)
		case !known:
			return nil, nil, fmt.Errorf("the folder %s is %q, and %s has %d classes and does not name them; %s, or the names of the model's classes",
				folder, wnid.Names()[class], named, n, giveLabels)
		default:
			found := map[int]bool{}
			for _, name := range append(strings.Split(wnid.Words(class), ","), wnid.Words(class)) {
				for _, label := range words[plainName(name)] {
					found[label] = true
					labels[i] = label
				}
			}
			if len(found) != 1 {
				return nil, nil, fmt.Errorf("the folder %s is %q, which is the name of %d classes of %s; %s", folder, wnid.Words(class), len(found), named, giveLabels)
			}
		}
	}
	return labels, []string{fmt.Sprintf("the folders are WordNet ids, found among the classes of %s by their words: %s is %q", named, folders[0], classes[labels[0]])}, nil
}

// synonyms finds classes by their plain names, and by what is between the commas in them.
func synonyms(classes []string) map[string][]int {
	index := map[string][]int{}
	for i, name := range classes {
		for _, name := range append([]string{name}, strings.Split(name, ",")...) {
			plain := plainName(name)
			if plain != "" && !slices.Contains(index[plain], i) {
				index[plain] = append(index[plain], i)
			}
		}
	}
	return index
}

// byName finds folders whose names are nearly the classes'.
func byName(folders []string, named string, classes []string, n int) ([]int, []string, error) {
	if len(classes) == 0 {
		return nil, nil, nil
	}
	whole := map[string][]int{}
	for i, name := range classes {
		whole[plainName(name)] = append(whole[plainName(name)], i)
	}
	parts := synonyms(classes)
	labels := make([]int, len(folders))
	var unknown, assumptions []string
	first := map[int]string{}
	loose := 0
	for i, folder := range folders {
		same := whole[plainName(folder)]
		if len(same) == 0 {
			same = parts[plainName(folder)]
		}
		switch len(same) {
		case 0:
			unknown = append(unknown, folder)
			continue
		case 1:
			labels[i] = same[0]
		default:
			return nil, nil, fmt.Errorf("the folder %s could be class %d or class %d of %s, which are called the same; %s", folder, same[0], same[1], named, giveLabels)
		}
		if other, twice := first[same[0]]; twice {
			assumptions = append(assumptions, fmt.Sprintf("the folders %s and %s are both the class %q of %s", other, folder, classes[same[0]], named))
		}
		first[same[0]] = folder
		if folder != classes[same[0]] {
			if loose++; loose == 1 {
				assumptions = append(assumptions, fmt.Sprintf("folder %s is taken as the class %q of %s", folder, classes[same[0]], named))
			}
		}
	}
	if len(unknown) > 0 {
		return nil, nil, fmt.Errorf("the data has %d classes, %s has %d, and %d of the data's (%s) are not among the model's (%s); %s",
			len(folders), named, n, len(unknown), firstNames(unknown), firstNames(classes), giveLabels)
	}
	if loose > 1 {
		assumptions = append(assumptions, fmt.Sprintf("%d folders are called nearly as classes of %s, and taken as these", loose, named))
	}
	return labels, assumptions, nil
}

// inOrder counts the folders as timm does.
func inOrder(folders []string, named string) ([]int, []string, error) {
	order := upTo(len(folders))
	slices.SortStableFunc(order, func(a, b int) int { return compareNatural(folders[a], folders[b]) })
	labels := make([]int, len(folders))
	for label, i := range order {
		labels[i] = label
		if label > 0 && compareNatural(folders[order[label-1]], folders[i]) == 0 {
			return nil, nil, fmt.Errorf("the folders %s and %s have no order, as neither case nor leading zeros count; %s", folders[order[label-1]], folders[i], giveLabels)
		}
	}
	last := order[len(order)-1]
	line := fmt.Sprintf("%s does not name its %d classes: they are taken from the natural order of the folders, as timm counts, from %s to %s",
		named, len(folders), folders[order[0]], folders[last])
	if at, ok := torchvisionDiffers(folders, labels); ok {
		line += fmt.Sprintf("; torchvision's order differs: %s is class %d here, and would be class %d there", folders[at], labels[at], slices.Index(codePoints(folders), folders[at]))
	}
	return labels, []string{line}, nil
}

// codePoints are the folders in torchvision's order, in which every character counts.
func codePoints(folders []string) []string { return slices.Sorted(slices.Values(folders)) }

// torchvisionDiffers finds the first folder to which torchvision would give another label.
func torchvisionDiffers(folders []string, labels []int) (at int, differs bool) {
	for label, folder := range codePoints(folders) {
		if at := slices.Index(folders, folder); labels[at] != label {
			return at, true
		}
	}
	return 0, false
}

var digits = regexp.MustCompile(`\d+`)

// compareNatural compares names as timm's natural_key does: case does not count, and numbers in them count as numbers.
func compareNatural(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	textA, textB := digits.Split(a, -1), digits.Split(b, -1)
	numbersA, numbersB := digits.FindAllString(a, -1), digits.FindAllString(b, -1)
	for i := range min(len(textA), len(textB)) {
		if c := strings.Compare(textA[i], textB[i]); c != 0 {
			return c
		}
		if i >= len(numbersA) || i >= len(numbersB) {
			break
		}
		x, y := strings.TrimLeft(numbersA[i], "0"), strings.TrimLeft(numbersB[i], "0")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return len(numbersA) - len(numbersB)
}

// firstNames lists the first few names.
func firstNames(names []string) string {
	if len(names) > 3 {
		names = append(names[:3:3], "...")
	}
	return strings.Join(names, ", ")
}

// plainName is what is left of a name where case, spaces, underscores and hyphens do not count, nor how an accent is written.
func plainName(name string) string {
	return strings.NewReplacer("_", "", " ", "", "-", "").Replace(strings.ToLower(norm.NFC.String(name)))
}

// relabelled is a data set whose labels are replaced.
type relabelled struct {
	Dataset
	labels  []int
	classes []string
}

// Item implements Dataset.
func (r relabelled) Item(i int) Item {
	item := r.Dataset.Item(i)
	if item.Label >= 0 {
		item.Label = r.labels[item.Label]
	}
	return item
}

// Classes implements Dataset.
func (r relabelled) Classes() []string { return slices.Clone(r.classes) }

// Unwrap implements Wrapper.
func (r relabelled) Unwrap() Dataset { return r.Dataset }
