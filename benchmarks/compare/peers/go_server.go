// Go's net/http with one JSON handler, and nothing else. Argument: PORT.
package main

import (
	"encoding/json"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/ask", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"answer": "Hi"})
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
