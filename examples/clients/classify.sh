#!/bin/sh
# Classifies photos by any of the three HTTP protocols, with retries, and prints the answers.
#
#   sh classify.sh v2 photos/*.jpg
#   ls photos/*.jpg | xargs -P 8 -n 1 sh classify.sh predict
#
# The variables URL and MODEL select the server and the model, API_KEY has the API key where one is
# required. Needs curl 7.76 and base64.
set -eu
: "${URL:=http://127.0.0.1:8000}" "${MODEL:=resnet50.keras_in1k}"

# After 429, 502, 503 and some others, and where no connection can be made, curl waits for as long
# as Retry-After says and tries again, until RETRY_SECONDS have passed.
post() {
    curl --silent --show-error --fail-with-body --max-time 60 \
        --retry 100 --retry-connrefused --retry-max-time "${RETRY_SECONDS:=120}" \
        ${API_KEY:+-H "Authorization: Bearer $API_KEY"} "$@"
}

# The service's own API: one image as a part of a form.
predict() {
    post -F "file=@$1" "$URL/predict?top_k=1"
}

# The Open Inference Protocol. Without base64 the same image is
#   post --data-binary "@$1" -H 'Inference-Header-Content-Length: 0' "$URL/v2/models/$MODEL/infer"
# with all probabilities in the answer, as float32 behind some JSON.
v2() {
    {
        printf '{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["'
        base64 <"$1" | tr -d '\n'
        printf '"]}],"outputs":[{"name":"probabilities","parameters":{"classification":1}}]}'
    } | post --data-binary @- -H 'Content-Type: application/json' "$URL/v2/models/$MODEL/infer"
}

# TensorFlow Serving's REST API.
v1() {
    {
        printf '{"examples":[{"image":{"b64":"'
        base64 <"$1" | tr -d '\n'
        printf '"}}]}'
    } | post --data-binary @- -H 'Content-Type: application/json' "$URL/v1/models/$MODEL:classify"
}

protocol=$1
shift
case $protocol in
predict | v2 | v1) ;;
*) echo "predict, v2 or v1, then photos. Received: $protocol" >&2 && exit 2 ;;
esac
for photo in "$@"; do
    "$protocol" "$photo"
    echo
done
