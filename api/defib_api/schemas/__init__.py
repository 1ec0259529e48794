"""Requests and answers of the API, apart from the tables; from these the OpenAPI is made."""
