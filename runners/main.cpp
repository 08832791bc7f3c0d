#include "runners/verbs.hpp"

int main(int argc, char** argv) { return greta::runners::run_program(argc, argv); }
