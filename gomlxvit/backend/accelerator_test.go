package backend

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSetupAcceleratorTakesWhatIsInstalled(t *testing.T) {
	_, _, path := emptyMachine(t)
	library := tinyELF(t, here(t), 100)
	installed := put(t, library, path, "nvidia", "pjrt_c_api_cuda_plugin.so")
	p, err := SetupAccelerator(t.Context(), "cuda", io.Discard)
	require.NoError(t, err)
	require.Equal(t, installed, p.Path)

	put(t, library[:130], installed)
	_, err = SetupAccelerator(t.Context(), "cuda", io.Discard)
	var damaged *DamagedError
	require.ErrorAs(t, err, &damaged)
}

func TestSetupAcceleratorRefusesAnotherDevice(t *testing.T) {
	emptyMachine(t)
	_, err := SetupAccelerator(t.Context(), "abacus", io.Discard)
	require.ErrorContains(t, err, "abacus")
}
