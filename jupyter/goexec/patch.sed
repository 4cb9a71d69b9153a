# What GoNB calls of the files beside it, and no `go get` before each cell: the checkout has all that notebooks import.
s/newGonbErrors(s, fileToCellIdAndLine, errorMsg, err)/newGonbErrors(s, fileToCellIdAndLine, Advise(errorMsg), err)/
s/^\tif err := s.Compile(msg, fileToCellIdAndLine); err != nil {$/\tif !s.CellIsTest \&\& !s.CellIsWasm {\n\t\tLeaveOutOf(s.CodePath(), fileToCellIdAndLine, cellId)\n\t}\n&/
s/^\(\t\tAutoGet: *\)true,$/\1false,/
