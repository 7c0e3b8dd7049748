"""A graph for a LangGraph server, which askd uses over HTTP. It needs no model: a fake one repeats the question.

    pip install 'langgraph-cli[inmem]'
    langgraph dev --no-browser                          # in this folder; listens on port 2024
    askd serve http://localhost:2024 --port 8080        # in another terminal

Then ask askd:

    curl 'localhost:8080/ask?q=hello+there'
    curl -N -H 'Accept: text/event-stream' 'localhost:8080/ask?q=one+two+three'
    curl 'localhost:8080/ask?q=hello&thread=ada'        # send it twice: the graph counts
    curl 'localhost:8080/ask?q=order&thread=ada'        # 409: the graph waits for input
    curl 'localhost:8080/ask?q=two&thread=ada'          # the reply
    curl 'localhost:8080/ask?q=fail'                    # 502, without the cause
"""

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt


async def reply(state: MessagesState) -> dict[str, list[object]]:
    """Repeat the last message through the model, with its number in the conversation."""
    questions = [message.text for message in state["messages"] if message.type == "human"]
    if questions[-1] == "fail":
        raise ValueError("the cause, which is only in the server's log")
    text = f"{len(questions)}: {questions[-1]}"
    if questions[-1] == "order":
        text = f"{interrupt('How many?')} ordered"
    model = GenericFakeChatModel(messages=iter([AIMessage(text)]))
    return {"messages": [await model.ainvoke(state["messages"])]}


builder = StateGraph(MessagesState)
builder.add_node("reply", reply)
builder.add_edge(START, "reply")
builder.add_edge("reply", END)
graph = builder.compile()
