package hf

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A data set's files say by their names which split they are of. These are the names that the library datasets gives them,
// and those that the Hub gives where it converts a data set:
//
//	train-00000-of-00014.parquet
//	train-00000-of-00014-0123456789abcdef.parquet
//	train/0003.parquet
//	birds_train.parquet
var shardName = regexp.MustCompile(`^(.+)-(\d{5})-of-(\d{5})(-[0-9a-f]{16})?$`)

// keywords are what the splits may be called in the names of other files, and what stands for them.
var keywords = map[string]string{
	"train": "train", "training": "train",
	"test": "test", "testing": "test", "eval": "test", "evaluation": "test",
	"validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}

// canonical is what a split is called here.
func canonical(split string) string { return cmp.Or(keywords[strings.ToLower(split)], split) }

// splitOf is the split that a file is of, "" when its name does not say.
func splitOf(name string) string {
	stem := strings.TrimSuffix(path.Base(name), path.Ext(name))
	if match := shardName.FindStringSubmatch(stem); match != nil {
		return canonical(match[1])
	}
	if _, err := strconv.Atoi(stem); err == nil {
		if dir := path.Base(path.Dir(name)); dir != "." {
			return canonical(dir)
		}
		return ""
	}
	for _, part := range []string{stem, path.Base(path.Dir(name))} {
		for _, word := range strings.FieldsFunc(part, func(r rune) bool { return strings.ContainsRune("-_. ", r) }) {
			if split, ok := keywords[strings.ToLower(word)]; ok {
				return split
			}
		}
	}
	return ""
}

func isParquet(name string) bool {
	return strings.EqualFold(path.Ext(name), ".parquet") && !strings.HasPrefix(path.Base(name), ".")
}

// errNone says that there are no files to choose from.
var errNone = errors.New("has no parquet files")

// chooseFiles takes the files of a split, sorted; split may be "" if there is but one.
func chooseFiles(names []string, split string) ([]string, error) {
	splits := map[string][]string{}
	for _, name := range names {
		if isParquet(name) {
			of := splitOf(name)
			splits[of] = append(splits[of], name)
		}
	}
	var known []string
	for of := range splits {
		known = append(known, cmp.Or(of, "train"))
	}
	slices.Sort(known)
	known = slices.Compact(known)
	if _, ok := splits["train"]; !ok && len(splits[""]) > 0 { // as the library does it
		splits["train"] = splits[""]
	}
	switch split = canonical(split); {
	case len(known) == 0:
		return nil, errNone
	case split == "" && len(known) > 1:
		return nil, fmt.Errorf("has the splits %s: say which by adding :%s", strings.Join(known, ", "), known[0])
	case split == "":
		split = known[0]
	}
	files := splits[split]
	if len(files) == 0 {
		return nil, fmt.Errorf("has no split %s: there is %s", split, strings.Join(known, ", "))
	}
	slices.Sort(files)
	return files, complete(files, split)
}

// complete checks that all files of a split are of one folder and none is missing.
func complete(files []string, split string) error {
	seen := map[string]bool{}
	total := ""
	for _, name := range files {
		if dir, first := path.Dir(name), path.Dir(files[0]); dir != first {
			return fmt.Errorf("has the split %s in more than one folder, %s and %s: name the folder too", split, first, dir)
		}
		match := shardName.FindStringSubmatch(strings.TrimSuffix(path.Base(name), path.Ext(name)))
		if match == nil {
			continue
		}
		if total = cmp.Or(total, match[3]); total != match[3] || seen[match[2]] {
			return fmt.Errorf("has files of two versions of the split %s, %s and %s: remove one",
				split, path.Base(files[0]), path.Base(name))
		}
		seen[match[2]] = true
	}
	if want, err := strconv.Atoi(total); err == nil && len(seen) != want {
		for i := range want {
			if number := fmt.Sprintf("%05d", i); !seen[number] {
				return fmt.Errorf("has %d of the %d files of the split %s: %[3]s-%s-of-%s.parquet is missing",
					len(seen), want, split, number, total)
			}
		}
	}
	return nil
}

// localFiles lists the files below a directory, with slashes.
func localFiles(dir string) (names []string, err error) {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(root, func(place string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if place != root && strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.IsDir() {
			name, err := filepath.Rel(root, place)
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	return names, err
}
