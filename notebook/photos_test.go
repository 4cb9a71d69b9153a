package notebook

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/session"
)

// TestSavePhotos: the folder and its labels.csv open as data sets of the same pictures and names.
func TestSavePhotos(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "photos")
	Open(Options{Data: "scenes:12"}).SavePhotos(folder, 5)
	labels := filepath.Join(folder, "labels.csv")
	content, err := os.ReadFile(labels)
	require.NoError(t, err)
	require.Contains(t, string(content), "file,label,name\n")
	require.Contains(t, string(content), ",elephant\n")
	byFolder, byFile := Open(Options{Data: folder}).first(), Open(Options{Data: folder, Labels: labels}).first()
	require.Equal(t, 5, byFolder.Data.Len())
	require.Equal(t, 5, byFile.Data.Len())
	drawn := Open(Options{Data: "scenes:12"}).first()
	names := func(s *session.Session) (all []string) {
		for i := range s.Data.Len() {
			all = append(all, filepath.ToSlash(s.Data.Item(i).Name))
		}
		return all
	}
	require.ElementsMatch(t, names(byFolder), names(byFile))
	for i := range 5 {
		item := byFile.Data.Item(i)
		require.Contains(t, item.Name, drawn.Data.Classes()[item.Label]+"/")
	}
}
