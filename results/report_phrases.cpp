// The phrases of the close-out report, each in both languages. A test refuses a row with an empty or equal column.
#include <array>

#include "results/report.hpp"

namespace greta::results {
namespace {

constexpr Phrase kPhrases[] = {
    {"title", "# Close-out report: `{}`", "# Informe de cierre: `{}`"},
    {"result_green", "**Result: green.** {} cases, all of them passed or were skipped for a stated reason.",
     "**Resultado: verde.** {} casos; todos pasaron o se omitieron por un motivo declarado."},
    {"result_red", "**Result: red.** {} of {} cases are red; {} did not finish.",
     "**Resultado: rojo.** {} de {} casos están en rojo; {} no terminaron."},
    {"result_unfinished", "**Result: unfinished.** Nothing is red, but {} of {} cases did not finish.",
     "**Resultado: incompleto.** Nada está en rojo, pero {} de {} casos no terminaron."},
    {"result_empty", "**Result: unfinished.** No case was recorded: the run has shown nothing.",
     "**Resultado: incompleto.** No se registró ningún caso: la ejecución no ha demostrado nada."},
    {"what_ran", "## What ran", "## Qué se ejecutó"},
    {"command", "Command", "Orden"},
    {"platform", "Platform", "Plataforma"},
    {"device", "Device", "Dispositivo"},
    {"toolchain", "Toolchain", "Compiladores"},
    {"commit", "Commit", "Revisión"},
    {"matrix_model", "Model of matrix instructions", "Modelo de instrucciones matriciales"},
    {"run", "Run", "Ejecución"},
    {"records", "Records", "Registros"},
    {"planned", "Cases planned", "Casos previstos"},
    {"unplanned", "never said", "nunca se declararon"},
    {"ended", "Cases finished", "Casos terminados"},
    {"time", "Time of all cases", "Tiempo de todos los casos"},
    {"field", "Field", "Campo"},
    {"value", "Value", "Valor"},
    {"red_cases", "## What is red", "## Qué está en rojo"},
    {"nothing_red", "Nothing.", "Nada."},
    {"unfinished_cases", "## What did not finish", "## Qué no terminó"},
    {"verdict", "Verdict", "Veredicto"},
    {"place", "Place", "Lugar"},
    {"place_unknown", "the records name none", "los registros no indican ninguno"},
    {"reason", "Reason, as recorded", "Motivo, tal como se registró"},
    {"problem", "Problem", "Problema"},
    {"repeat", "Repeat it with", "Repítalo con"},
    {"missing_cases", "{} planned cases never started.", "{} casos previstos no llegaron a empezar."},
    {"all_cases", "## All cases", "## Todos los casos"},
    {"case", "Case", "Caso"},
    {"subject", "Subject", "Objeto"},
    {"measured", "Measured", "Medido"},
    {"seconds", "Seconds", "Segundos"},
    {"meaning", "## What the verdicts mean", "## Qué significan los veredictos"},
    {"mean_PASS", "checked, and right", "comprobado y correcto"},
    {"mean_FAIL", "wrong", "incorrecto"},
    {"mean_SKIP", "does not apply here, for the stated reason", "no procede aquí, por el motivo declarado"},
    {"mean_VACUOUS", "could not have failed: a knob changed nothing that it must change",
     "no podía fallar: un ajuste no cambió nada de lo que debe cambiar"},
    {"mean_MISTRUSTED", "the data is too weak to decide", "los datos no bastan para decidir"},
    {"mean_INCOMPLETE", "planned or started, and not finished", "previsto o empezado, y no terminado"},
    {"mean_CONTRADICTION", "two observations that cannot both be true: an instrument is broken",
     "dos observaciones que no pueden ser ciertas a la vez: un instrumento está averiado"},
    {"position", "position {}", "posición {}"},
    {"layer", "layer {}", "capa {}"},
    {"stage", "stage {}", "etapa {}"},
    {"head", "head {}", "cabeza {}"},
    {"row", "row {}", "fila {}"},
    {"element", "element {}", "elemento {}"},
    {"tensor", "tensor {}", "tensor «{}»"},
    {"side", "side {}", "lado {}"},
    {"kernel", "kernel {}", "núcleo {}"},
    {"argument", "argument {}", "argumento {}"},
    {"buffer", "buffer {}", "búfer {}"},
    {"offset", "offset {}", "desplazamiento {}"},
    {"outside_layers", "outside the layers", "fuera de las capas"},
};

}  // namespace

std::span<const Phrase> report_phrases() { return kPhrases; }

}  // namespace greta::results
