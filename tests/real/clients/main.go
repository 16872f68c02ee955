// The tutorial's Go recipe: a client generated from the document by openapi-generator.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"example/watermaster"
)

func main() {
	url := os.Getenv("WATERMASTER")
	if url == "" {
		url = "http://127.0.0.1:8080"
	}
	settings := watermaster.NewConfiguration()
	settings.Servers = watermaster.ServerConfigurations{{URL: url}}
	api := watermaster.NewAPIClient(settings).AllocationsAPI
	request := watermaster.NewAllocationRequest(14_000_000, "NJ", "WA")
	request.SetTopology("nsfnet")
	request.SetQosLevel(1)
	admitted, _, err := api.AllocationCreate(context.Background()).AllocationRequest(*request).Execute()
	var refused *watermaster.GenericOpenAPIError
	if errors.As(err, &refused) {
		if problem, is := refused.Model().(watermaster.Problem); is {
			log.Fatalf("%s: %s", problem.Title, problem.GetDetail())
		}
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("admitted %s over %s\n", admitted.GetId(), strings.Join(admitted.Path, ", "))
	if _, _, err := api.AllocationRelease(context.Background(), admitted.GetId()).Execute(); err != nil {
		log.Fatal(err)
	}
}
