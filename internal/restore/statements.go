package restore

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
)

// unwanted are lines of a dump that would make the whole table one transaction, which Galera limits in size, or lock
// it on one node only. A dump has no line breaks inside its strings, so that rows are never taken for them.
func unwanted(line []byte) bool {
	for _, prefix := range []string{"LOCK TABLES ", "UNLOCK TABLES;", "set autocommit=0;", "commit;", "/*M!999999"} {
		if bytes.HasPrefix(line, []byte(prefix)) {
			return true
		}
	}
	return false
}

// triggersBegin is the first line of the triggers of a table, which stand behind its rows; triggersEnd is among the last.
const triggersBegin, triggersEnd = "/*!50003 SET @saved_cs_client ", "/*!50003 SET collation_connection "

// hasTriggers reports whether a table's file ends with triggers.
func hasTriggers(fsys fs.FS, name string) (bool, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if s, ok := f.(io.Seeker); ok {
		info, err := f.Stat()
		if err != nil {
			return false, err
		}
		if _, err := s.Seek(max(0, info.Size()-4096), io.SeekStart); err != nil {
			return false, err
		}
	}
	end, err := io.ReadAll(f)
	return bytes.Contains(end, []byte("\n"+triggersEnd)), err
}

// plainStatements copies a part of a dump without its unwanted lines, up to where triggers begin. Lines may be of any length.
func plainStatements(w io.Writer, r io.Reader, count func(int64)) error {
	in := bufio.NewReaderSize(r, 1<<20)
	start, drop := true, false
	for {
		piece, err := in.ReadSlice('\n')
		if start && bytes.HasPrefix(piece, []byte(triggersBegin)) {
			return nil
		}
		if start {
			drop = unwanted(piece)
		}
		start = err == nil
		if len(piece) > 0 && !drop {
			if _, werr := w.Write(piece); werr != nil {
				return werr
			}
		}
		count(int64(len(piece)))
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}
